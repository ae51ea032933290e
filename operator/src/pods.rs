//! Why pods do not become ready, in Kubernetes' own words. Pure.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use crate::resources::CONTAINER;

/// What a container waits for in the ordinary course of things.
const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
const CRASHES: &str = "CrashLoopBackOff";

/// A sentence of the pod that says most; `None`: none says anything.
pub fn trouble(pods: &[Pod]) -> Option<String> {
    let said = pods.iter().filter_map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let (weight, words) = of(pod)?;
        Some((weight, name, words))
    });
    said.min().map(|(_, name, words)| format!("pod {name}: {words}"))
}

/// What Kubernetes says of a pod, the gravest first.
fn of(pod: &Pod) -> Option<(u8, String)> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let worker = containers.iter().find(|container| container.name == CONTAINER && !container.ready);
    if let Some(words) = worker.and_then(waiting) {
        return Some((0, words));
    }
    if let Some(words) = worker.and_then(|worker| ended(worker.last_state.as_ref()?)) {
        return Some((1, format!("it runs again and is not ready; before, it {words}")));
    }
    if let Some(reason) = &status.reason {
        return Some((2, sentence(reason, status.message.as_deref())));
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let waits = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some((3, sentence(waits.reason.as_deref().unwrap_or("not scheduled"), waits.message.as_deref())))
}

/// Why a container does not start.
fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| !ORDINARY.contains(reason))?;
    // Its own message is about the pause alone.
    if reason == CRASHES
        && let Some(words) = container.last_state.as_ref().and_then(ended)
    {
        return Some(format!("{reason}: it {words}"));
    }
    Some(sentence(reason, waiting.message.as_deref()))
}

/// How a container ended.
fn ended(state: &ContainerState) -> Option<String> {
    let ended = state.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let code = ended.exit_code;
    Some(sentence(&format!("ended with {reason} (exit code {code})"), ended.message.as_deref()))
}

fn sentence(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
    }

    fn worker(state: Value, last: Value) -> Value {
        let container = json!({
            "name": "worker", "ready": false, "restartCount": 1, "image": "w", "imageID": "",
            "state": state, "lastState": last,
        });
        json!({"containerStatuses": [container]})
    }

    fn waits(reason: &str, message: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": message}})
    }

    fn terminated(reason: &str, code: i32) -> Value {
        json!({"terminated": {"reason": reason, "exitCode": code}})
    }

    #[test]
    fn each_kind_of_trouble_is_told_apart() {
        let image = waits("ImagePullBackOff", "Back-off pulling image \"w:2\"");
        let crash = waits("CrashLoopBackOff", "back-off 20s restarting failed container");
        let unscheduled = json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available",
        }]});
        for (status, expected) in [
            (worker(image, json!({})), "pod a: ImagePullBackOff: Back-off pulling image \"w:2\""),
            (
                worker(crash.clone(), terminated("OOMKilled", 137)),
                "pod a: CrashLoopBackOff: it ended with OOMKilled (exit code 137)",
            ),
            (
                worker(crash, terminated("Error", 1)),
                "pod a: CrashLoopBackOff: it ended with Error (exit code 1)",
            ),
            (
                worker(json!({"running": {}}), terminated("OOMKilled", 137)),
                "pod a: it runs again and is not ready; before, it ended with OOMKilled (exit code 137)",
            ),
            (unscheduled, "pod a: Unschedulable: 0/3 nodes are available"),
            (
                json!({"reason": "Evicted", "message": "The node was low on resource: memory."}),
                "pod a: Evicted: The node was low on resource: memory.",
            ),
        ] {
            assert_eq!(trouble(&[pod("a", status)]).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_starts_in_the_ordinary_way_says_nothing() {
        let creating = worker(waits("ContainerCreating", ""), json!({}));
        assert_eq!(trouble(&[pod("a", creating), pod("b", worker(json!({"running": {}}), json!({})))]), None);
        assert_eq!(trouble(&[]), None);
    }

    #[test]
    fn the_pod_that_says_most_is_named() {
        let evicted = pod("a", json!({"reason": "Evicted"}));
        let image = pod("b", worker(waits("InvalidImageName", ""), json!({})));
        assert_eq!(trouble(&[evicted, image]).as_deref(), Some("pod b: InvalidImageName"));
    }
}
