//! Why workers are not ready: what Kubernetes says of their pods, and what those that run say themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use tokio::time::Instant;

use super::Decision;
use crate::bounded::{READ, bounded};
use crate::context::{Context, Unready};
use crate::key::Key;
use crate::names;
use crate::pods::{trouble, unready};
use crate::rollout::{Progress, Rollout};
use crate::workers::not_ready;

/// Pods that start need no explanation for so long.
const START: Duration = Duration::from_secs(15);
/// Between two looks at pods that do not become ready.
const AGAIN: Duration = Duration::from_secs(20);
/// Pods that are looked at.
const PODS: u32 = 20;
/// Workers that are asked, all at once: the others most likely say the same.
const ASKED: usize = 3;
/// For one worker's answer.
const ANSWER: Duration = Duration::from_secs(1);
/// A worker's answer names each partition, thousands at most.
const ANSWER_BYTES: usize = 64 * 1024;

/// A sentence of why workers are not ready. They are looked at only while that lasts, and now and then.
pub(super) async fn words(
    context: &Context,
    key: &Key,
    decision: Decision,
    rollout: Option<&Rollout>,
) -> Option<String> {
    let is_wrong = |rollout: &&Rollout| decision == Decision::Run && !rollout.is_complete();
    let Some(rollout) = rollout.filter(is_wrong) else {
        context.remember(key, |memory| memory.unready = None);
        return None;
    };
    let now = Instant::now();
    let new = Unready { since: now, looked: None, words: None };
    let known = context.remember(key, |memory| memory.unready.get_or_insert(new).clone());
    let patience = if rollout.progress == Progress::Failed { Duration::ZERO } else { START };
    let is_early = now.duration_since(known.since) < patience;
    if is_early || known.looked.is_some_and(|looked| now.duration_since(looked) < AGAIN) {
        return known.words;
    }
    let words = look(context, key, known.words).await;
    let unready = Unready { since: known.since, looked: Some(now), words: words.clone() };
    context.remember(key, |memory| memory.unready = Some(unready));
    words
}

/// What was known holds where nobody answers.
async fn look(context: &Context, key: &Key, known: Option<String>) -> Option<String> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = ListParams::default().labels(&names::selector_text(&key.name)).limit(PODS);
    let pods = match bounded(READ, api.list(&params)).await {
        Ok(list) => list.items,
        Err(error) => {
            tracing::debug!(stockwatch = %key, %error, "pods are not looked at");
            return known;
        }
    };
    let asked = unready(&pods).into_iter().take(ASKED).map(|(pod, address)| async move {
        let answer = not_ready(address, ANSWER, ANSWER_BYTES).await;
        let answer = answer.inspect_err(|error| {
            tracing::debug!(stockwatch = %key, pod, %error, "a worker does not say why it is not ready");
        });
        (pod, answer)
    });
    let (mut said, mut silent) = (BTreeMap::new(), false);
    for (pod, answer) in join_all(asked).await {
        silent |= answer.is_err();
        said.extend(answer.ok().flatten().map(|words| (pod, words)));
    }
    trouble(&pods, &said).or_else(|| known.filter(|_| silent))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::reconcile::fixtures::context;

    const BROKEN: &str = "partition 1: cannot be restored, trying again: write a tombstone";

    fn rollout(ready: i32) -> Rollout {
        Rollout {
            observed: true,
            wanted: 1,
            replicas: 1,
            updated: 1,
            ready,
            progress: Progress::Failed,
            refusal: None,
            image: String::new(),
            connection: None,
            template: None,
            wishes: None,
        }
    }

    #[tokio::test]
    async fn a_running_worker_is_asked_itself_while_it_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let readyz = get(|| async { (StatusCode::SERVICE_UNAVAILABLE, format!("{BROKEN}\n")) });
        let router = Router::new().route("/readyz", readyz);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let pod = json!({
            "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "worker", "ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"podIP": "127.0.0.1", "containerStatuses": [{
                "name": "worker", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"running": {}},
            }]},
        });
        let (context, asked) = context(move |_| Some((200, json!({"metadata": {}, "items": [pod]}))));
        let key = Key::new("market", "tech");
        let words = async |ready: i32| words(&context, &key, Decision::Run, Some(&rollout(ready))).await;
        assert_eq!(words(1).await, None);
        for _ in 0..2 {
            assert_eq!(words(0).await, Some(format!("pod a: it is not ready: {BROKEN}")));
        }
        assert_eq!(asked.lock().unwrap().len(), 1, "not looked at again at once");
        assert_eq!(words(1).await, None);
    }
}
