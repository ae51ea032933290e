//! What a document does to a running worker in a cluster: decided from it and the spec in use alone.

use super::document::Document;
use crate::config::accept::check_uid;
use crate::config::accept::{Decision, LiveSpec, Refusal};

/// Decides on a document while `current` is in use and the generation `refused` was the last that could not be.
///
/// A generation stands for one content, so it decides before the document is read. Of a newer one everything is taken
/// but `spec.kafka`: another connection or another topic is for another process, with which the operator replaces this
/// one. The ledger alone comes with the accounts, whenever that is.
pub fn judge(current: &LiveSpec, refused: Option<u64>, document: &Document) -> Result<Decision, Refusal> {
    let metadata = &document.metadata;
    check_uid(&metadata.uid, &current.uid)?;
    let (found, running) = (metadata.generation, current.generation.unwrap_or(0));
    if found < running || refused.is_some_and(|refused| found <= refused) {
        return Ok(Decision::Old);
    }
    if found == running {
        return Ok(Decision::Same);
    }
    let mut next = LiveSpec { revision: current.revision + 1, ..document.load()? };
    let ledger = next.spec.kafka.topics.ledger;
    next.spec.kafka = current.spec.kafka.clone();
    if current.spec.trade.is_none() {
        next.spec.kafka.topics.ledger = ledger;
    }
    Ok(Decision::Take(Box::new(next)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::document::tests::{document, document_at};
    use super::*;

    fn running() -> LiveSpec {
        document("a", 7, "1%").load().unwrap()
    }

    fn taken(outcome: Result<Decision, Refusal>) -> LiveSpec {
        match outcome.unwrap() {
            Decision::Take(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newer_generation_is_taken() {
        let next = taken(judge(&running(), None, &document("a", 9, "2%")));
        assert_eq!((next.generation, next.revision), (Some(9), 2));
        assert_eq!(next.spec.windows[0].tolerance.text, "2%");
    }

    #[test]
    fn a_generation_never_goes_back() {
        assert!(matches!(judge(&running(), None, &document("a", 6, "2%")), Ok(Decision::Old)));
        assert!(matches!(judge(&running(), None, &document("a", 7, "1%")), Ok(Decision::Same)));
    }

    #[test]
    fn another_uid_is_refused_whatever_its_generation() {
        for generation in [1, 7, 99] {
            let refusal = judge(&running(), None, &document("b", generation, "2%")).unwrap_err();
            assert!(matches!(refusal, Refusal::OtherUid { .. }), "{refusal}");
        }
    }

    #[test]
    fn a_bad_document_is_refused_with_its_problems() {
        let refusal = judge(&running(), None, &document("a", 8, "lots")).unwrap_err();
        assert!(refusal.to_string().contains("spec.windows[0].tolerance"), "{refusal}");
    }

    #[test]
    fn a_refused_generation_is_judged_once_and_the_copies_of_the_good_one_do_not_hide_it() {
        assert!(matches!(judge(&running(), Some(8), &document("a", 8, "lots")), Ok(Decision::Old)));
        assert!(matches!(judge(&running(), Some(8), &document("a", 7, "1%")), Ok(Decision::Old)));
        assert_eq!(taken(judge(&running(), Some(8), &document("a", 9, "3%"))).generation, Some(9));
    }

    #[test]
    fn hot_fields_are_taken_and_the_connection_stays() {
        let next = taken(judge(&running(), None, &document_at("a", 8, "2%", "elsewhere:9092")));
        assert_eq!(next.spec.windows[0].tolerance.text, "2%");
        assert_eq!(next.spec.kafka, running().spec.kafka);
    }
}
