//! The live spec in a cluster: the worker's own StockWatch, as the API server has it.
//!
//! The API server is asked at the start and watched from then on. Where it is away, the copies count: the operator's,
//! mounted as a directory, and the worker's own, written with every spec that is taken. Whoever delivers a document,
//! [`judge`] decides alike: another uid is refused, a generation never goes back, a bad document leaves the last good
//! one in use, and of a good one everything is taken but `spec.kafka`, which a running worker keeps.

mod api;
mod copies;
mod document;
mod error;
mod events;
mod follow;
mod judge;
mod start;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

pub use api::Api;
pub use copies::Copies;
pub use document::Document;
pub use error::{ApiError, EventError};
pub use events::{Event, Events};
pub use follow::{Following, follow};
pub use judge::judge;
pub use start::{Start, StartError, start};

use super::{Decision, Live, LiveSpec};

/// The StockWatch of a worker, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl FromStr for Resource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_label = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_label(namespace) && is_label(name) => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err("the StockWatch is named NAMESPACE/NAME, such as default/tech"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Judges the documents of all who deliver some, and publishes what comes of it.
#[derive(Debug)]
pub struct Judged {
    live: Arc<Live>,
    /// What was taken last, for whoever copies it: no edit waits for a disk.
    taken: watch::Sender<Document>,
    /// The generation that was refused last. Held while a document is judged, so that they come one after another.
    refused: Mutex<Option<u64>>,
}

impl Judged {
    /// Goes on from what the worker started with.
    pub fn new(live: Arc<Live>, start: Document, refused: Option<u64>) -> Self {
        Self { live, taken: watch::Sender::new(start), refused: Mutex::new(refused) }
    }

    /// Judges a document, which for a large one takes some milliseconds.
    pub fn offer(&self, document: &Document) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let current: Arc<LiveSpec> = self.live.current();
        match judge(&current, *refused, document) {
            Ok(Decision::Take(next)) => {
                self.live.take(*next);
                self.taken.send_replace(document.clone());
            }
            Ok(Decision::Same) => self.live.settle(),
            Ok(Decision::Old) => {}
            Err(refusal) => {
                if document.metadata.uid == current.uid {
                    *refused = Some(document.metadata.generation);
                }
                // Each new watch begins with what is there.
                if self.live.error().borrow().as_ref() != Some(&refusal.to_string()) {
                    self.live.refuse(&refusal);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::document::tests::document;
    use super::*;
    use crate::metrics::Metrics;

    struct Worker {
        live: Arc<Live>,
        judged: Judged,
        metrics: Arc<Metrics>,
    }

    fn worker() -> Worker {
        let (start, metrics) = (document("a", 7, "1%"), Arc::new(Metrics::new()));
        let live = Arc::new(Live::starting_with(start.load().unwrap(), Arc::clone(&metrics)));
        Worker { judged: Judged::new(Arc::clone(&live), start, None), live, metrics }
    }

    impl Worker {
        fn error(&self) -> Option<String> {
            self.live.error().borrow().clone()
        }
    }

    #[test]
    fn a_bad_edit_is_told_until_it_is_mended_whatever_copies_come() {
        let worker = worker();
        for (generation, tolerance) in [(8, "lots"), (7, "1%"), (6, "2%"), (8, "lots")] {
            worker.judged.offer(&document("a", generation, tolerance));
            assert!(worker.error().unwrap().contains("tolerance"), "generation {generation}");
        }
        assert_eq!(worker.metrics.specs_rejected.get(), 1, "it is counted once");
        assert_eq!(worker.live.current().generation, Some(7));
        worker.judged.offer(&document("a", 9, "3%"));
        assert_eq!((worker.error(), worker.live.current().generation), (None, Some(9)));
        assert_eq!(worker.judged.taken.borrow().metadata.generation, 9, "it is to be copied");
    }

    #[test]
    fn another_stockwatch_of_the_name_is_told_once_and_never_taken() {
        let worker = worker();
        for generation in [1, 99] {
            worker.judged.offer(&document("b", generation, "9%"));
        }
        assert!(worker.error().unwrap().contains("metadata.uid"));
        assert_eq!(worker.metrics.specs_rejected.get(), 1);
        worker.judged.offer(&document("a", 8, "2%"));
        assert_eq!(worker.live.current().generation, Some(8));
    }

    #[test]
    fn a_resource_is_named_by_namespace_and_name() {
        let resource: Resource = "default/tech".parse().unwrap();
        assert_eq!(resource.to_string(), "default/tech");
        assert!("tech".parse::<Resource>().is_err());
    }
}
