//! Judges the documents of all who deliver some, one after another, and publishes what comes of it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::document::Document;
use super::judge::judge;
use crate::config::accept::{Decision, LiveSpec};
use crate::config::live::Live;

/// Judges the documents of all who deliver some, and publishes what comes of it.
#[derive(Debug)]
pub struct DocumentJudge {
    live: Arc<Live>,
    /// What was taken last, for whoever copies it: no edit waits for a disk.
    pub(super) taken: watch::Sender<Document>,
    /// The generation that was refused last. Held while a document is judged, so that they come one after another.
    refused: Mutex<Option<u64>>,
}

impl DocumentJudge {
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

    use super::super::document::tests::document;
    use super::*;
    use crate::metrics::Metrics;

    struct Worker {
        live: Arc<Live>,
        judge: DocumentJudge,
        metrics: Arc<Metrics>,
    }

    fn worker() -> Worker {
        let (start, metrics) = (document("a", 7, "1%"), Arc::new(Metrics::new()));
        let live = Arc::new(Live::starting_with(start.load().unwrap(), Arc::clone(&metrics)));
        Worker { judge: DocumentJudge::new(Arc::clone(&live), start, None), live, metrics }
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
            worker.judge.offer(&document("a", generation, tolerance));
            assert!(worker.error().unwrap().contains("tolerance"), "generation {generation}");
        }
        assert_eq!(worker.metrics.specs_rejected.get(), 1, "it is counted once");
        assert_eq!(worker.live.current().generation, Some(7));
        worker.judge.offer(&document("a", 9, "3%"));
        assert_eq!((worker.error(), worker.live.current().generation), (None, Some(9)));
        assert_eq!(worker.judge.taken.borrow().metadata.generation, 9, "it is to be copied");
    }

    #[test]
    fn another_stockwatch_of_the_name_is_told_once_and_never_taken() {
        let worker = worker();
        for generation in [1, 99] {
            worker.judge.offer(&document("b", generation, "9%"));
        }
        assert!(worker.error().unwrap().contains("metadata.uid"));
        assert_eq!(worker.metrics.specs_rejected.get(), 1);
        worker.judge.offer(&document("a", 8, "2%"));
        assert_eq!(worker.live.current().generation, Some(8));
    }
}
