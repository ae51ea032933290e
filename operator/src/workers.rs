//! What the workers compute with: each ready one is asked, beside the reconciles, for as long as it is behind.
//!
//! A worker that has answered that it computes with a generation is not asked about it again, unless it was not ready
//! in between: then it may be another process.

mod ask;
mod endpoints;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockwatch_crds::Backoff;
use tokio::task::AbortHandle;
use tokio::time::sleep;

pub use ask::Answer;
pub(crate) use ask::{AskError, get, not_ready};
pub use endpoints::{Endpoint, endpoints};

use crate::key::Key;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// A worker answers when it computes with the generation, or else after this time.
const WAIT: Duration = Duration::from_secs(2);
/// Between two attempts to reach a worker.
const RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
/// Between two questions to a worker that computes with the generation and evaluates what it changes.
const EVALUATION: Duration = Duration::from_secs(2);
/// So many failures in a row, and the worker counts as unreachable: one that has just come up may need a second.
const UNREACHABLE_AFTER: u32 = 2;

/// What is known of a ready worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// What it last answered to the newest question.
    pub answer: Option<Answer>,
    /// It did not answer a few times in a row.
    pub unreachable: bool,
}

/// What is known of the ready workers of a StockWatch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// By name.
    pub pods: Vec<Pod>,
}

/// Asks the workers of all StockWatches.
pub struct Workers(Arc<Shared>);

struct Shared {
    asked: Mutex<HashMap<Key, Asked>>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Asked {
    uid: String,
    generation: i64,
    pods: BTreeMap<String, Asking>,
}

struct Asking {
    endpoint: Endpoint,
    answer: Option<Answer>,
    failures: u32,
    task: Option<AbortHandle>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Workers {
    /// A StockWatch comes into the queue when its workers' answers change.
    pub fn new(queue: Arc<Queue>, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { asked: Mutex::default(), queue, metrics }))
    }

    /// What the ready workers compute with; asks those that are not known to compute with this generation.
    pub fn observe(&self, key: &Key, uid: &str, generation: i64, ready: &[Endpoint]) -> Report {
        let mut all = self.0.lock();
        let asked = all.entry(key.clone()).or_default();
        if asked.uid != uid {
            *asked = Asked { uid: uid.to_owned(), ..Asked::default() };
        }
        asked.pods.retain(|_, pod| ready.contains(&pod.endpoint));
        let newer = asked.generation != generation;
        asked.generation = generation;
        for endpoint in ready {
            let pod = asked.pods.entry(endpoint.pod.clone()).or_insert_with(|| Asking {
                endpoint: endpoint.clone(),
                answer: None,
                failures: 0,
                task: None,
            });
            let behind = pod.answer.as_ref().is_none_or(|answer| answer.is_behind(generation));
            let idle = pod.task.as_ref().is_none_or(AbortHandle::is_finished);
            if behind && (newer || idle) {
                let task =
                    ask_until(Arc::clone(&self.0), key.clone(), uid.to_owned(), generation, endpoint.clone());
                if let Some(old) = pod.task.replace(tokio::spawn(task).abort_handle()) {
                    old.abort();
                }
            }
        }
        let pods = asked.pods.values().map(|pod| Pod {
            name: pod.endpoint.pod.clone(),
            answer: pod.answer.clone(),
            unreachable: pod.failures >= UNREACHABLE_AFTER,
        });
        Report { pods: pods.collect() }
    }

    /// Nobody is asked any more.
    pub fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

impl Drop for Workers {
    /// Those who ask share what they write to: they end with what is asked.
    fn drop(&mut self) {
        self.0.lock().clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an answer or a failure. `None` once this question is no longer the newest; else the failures in a row.
    fn note(&self, key: &Key, generation: i64, endpoint: &Endpoint, answer: Option<Answer>) -> Option<u32> {
        let mut all = self.lock();
        let asked = all.get_mut(key).filter(|asked| asked.generation == generation)?;
        let pod = asked.pods.get_mut(&endpoint.pod).filter(|pod| pod.endpoint == *endpoint)?;
        let news = match answer {
            Some(answer) => {
                let was_unreachable = std::mem::take(&mut pod.failures) >= UNREACHABLE_AFTER;
                let before = pod.answer.replace(answer);
                before != pod.answer || was_unreachable
            }
            None => {
                pod.failures = pod.failures.saturating_add(1);
                pod.failures == UNREACHABLE_AFTER
            }
        };
        let failures = pod.failures;
        drop(all);
        if news {
            self.queue.add(key.clone());
        }
        Some(failures)
    }
}

/// Asks one worker until it computes with the generation, or until nobody wants to know any more.
async fn ask_until(shared: Arc<Shared>, key: Key, uid: String, generation: i64, endpoint: Endpoint) {
    let address = SocketAddr::new(endpoint.address, endpoint.port);
    loop {
        shared.metrics.worker_requests.inc();
        let answer = match ask::ask(address, generation, WAIT).await {
            // Another StockWatch of the same name: this one's worker has not come yet.
            Ok(answer) if answer.uid != uid => Err("it runs another StockWatch of this name".to_owned()),
            Ok(answer) => Ok(answer),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(answer) => {
                let (behind, evaluating) = (answer.is_behind(generation), answer.evaluating);
                if shared.note(&key, generation, &endpoint, Some(answer)).is_none() || !(behind || evaluating)
                {
                    return;
                }
                if !behind {
                    sleep(EVALUATION).await;
                }
            }
            Err(error) => {
                shared.metrics.worker_request_errors.inc();
                tracing::debug!(stockwatch = %key, pod = endpoint.pod, error, "a worker does not answer");
                let Some(failures) = shared.note(&key, generation, &endpoint, None) else { return };
                sleep(RETRY.after(failures, fastrand::f64())).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
