//! Why pods do not become ready, in Kubernetes' own words and in those of the workers in them. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use crate::refusals::{cut, cut_to};
use crate::resources::{CONTAINER, HTTP};

/// What a container waits for in the ordinary course of things.
const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
const CRASHES: &str = "CrashLoopBackOff";

/// Of a worker's own words, in characters: with a cure in them they name topics more than once.
const WORKERS_WORDS: usize = 1536;

/// Workers that run and are not ready, and where each says why: by name.
pub fn unready(pods: &[Pod]) -> BTreeMap<&str, SocketAddr> {
    let runs = |container: &ContainerStatus| container.state.as_ref().is_some_and(|is| is.running.is_some());
    let all = pods.iter().filter_map(|pod| {
        let status = pod.status.as_ref()?;
        worker(status).filter(|worker| runs(worker))?;
        let address = status.pod_ip.as_ref()?.parse().ok()?;
        Some((pod.metadata.name.as_deref()?, SocketAddr::new(address, port(pod)?)))
    });
    all.collect()
}

fn port(pod: &Pod) -> Option<u16> {
    let mut containers = pod.spec.as_ref()?.containers.iter();
    let ports = containers.find(|container| container.name == CONTAINER)?.ports.as_deref()?;
    let http = ports.iter().find(|port| port.name.as_deref() == Some(HTTP))?;
    u16::try_from(http.container_port).ok()
}

/// The worker of a pod, unless it is ready.
fn worker(status: &PodStatus) -> Option<&ContainerStatus> {
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    containers.iter().find(|container| container.name == CONTAINER && !container.ready)
}

/// A sentence of the pod that says most; `None`: none says anything. `workers`: what they say themselves, by the pods'
/// names.
pub fn trouble(pods: &[Pod], workers: &BTreeMap<&str, String>) -> Option<String> {
    let said = pods.iter().filter_map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let (weight, words) = of(pod, workers.get(name))?;
        Some((weight, name, words))
    });
    said.min().map(|(_, name, words)| format!("pod {name}: {words}"))
}

/// What is said of a pod, the gravest first. Of several workers' own words the longest count: a failure with its cure has
/// more of them than a step on the way.
fn of(pod: &Pod, own: Option<&String>) -> Option<((u8, Reverse<usize>), String)> {
    let status = pod.status.as_ref()?;
    let worker = worker(status);
    if let Some(words) = worker.and_then(waiting) {
        return Some(((0, Reverse(0)), words));
    }
    let own = own.map(|own| cut_to(own, WORKERS_WORDS));
    let length = own.as_ref().map_or(0, String::len);
    let words = match (own, worker.and_then(|worker| ended(worker.last_state.as_ref()?))) {
        (Some(own), None) => Some(format!("it is not ready: {own}")),
        (Some(own), Some(before)) => {
            Some(format!("it runs again and is not ready: {own}; before, it {before}"))
        }
        (None, Some(before)) => Some(format!("it runs again and is not ready; before, it {before}")),
        (None, None) => None,
    };
    if let Some(words) = words {
        return Some(((1, Reverse(length)), words));
    }
    if let Some(reason) = &status.reason {
        return Some(((2, Reverse(0)), sentence(reason, status.message.as_deref())));
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let waits = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let reason = waits.reason.as_deref().unwrap_or("not scheduled");
    Some(((3, Reverse(0)), sentence(reason, waits.message.as_deref())))
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

/// Kubernetes' own words, at a bounded length.
fn sentence(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => cut(&format!("{reason}: {message}")),
        None => cut(reason),
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
            assert_eq!(trouble(&[pod("a", status)], &BTreeMap::new()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_starts_in_the_ordinary_way_says_nothing() {
        let creating = worker(waits("ContainerCreating", ""), json!({}));
        let running = worker(json!({"running": {}}), json!({}));
        let nothing = BTreeMap::new();
        assert_eq!(trouble(&[pod("a", creating), pod("b", running)], &nothing), None);
        assert_eq!(trouble(&[], &nothing), None);
    }

    #[test]
    fn the_pod_that_says_most_is_named() {
        let evicted = pod("a", json!({"reason": "Evicted"}));
        let image = pod("b", worker(waits("InvalidImageName", ""), json!({})));
        let named = trouble(&[evicted, image], &BTreeMap::new());
        assert_eq!(named.as_deref(), Some("pod b: InvalidImageName"));
    }

    #[test]
    fn a_worker_that_runs_says_itself_why_it_is_not_ready() {
        let running = || worker(json!({"running": {}}), json!({}));
        let broken = "partition 1: cannot be restored: write a tombstone";
        let said = BTreeMap::from([("a", "joining the consumer group".to_owned()), ("b", broken.to_owned())]);
        let pods = [pod("a", running()), pod("b", running())];
        assert_eq!(trouble(&pods, &said), Some(format!("pod b: it is not ready: {broken}")));
        let again = [pod("b", worker(json!({"running": {}}), terminated("OOMKilled", 137)))];
        assert_eq!(
            trouble(&again, &said),
            Some(format!(
                "pod b: it runs again and is not ready: {broken}; before, it ended with OOMKilled (exit code 137)"
            ))
        );
        let crashed = [pods[1].clone(), pod("c", worker(waits("CrashLoopBackOff", ""), json!({})))];
        assert_eq!(trouble(&crashed, &said).as_deref(), Some("pod c: CrashLoopBackOff"), "it weighs more");
        let long = BTreeMap::from([("b", "x".repeat(100_000))]);
        assert!(trouble(&pods, &long).unwrap().len() < 2_000);
    }
}
