//! What a document does to a running worker in a cluster: decided from it and the spec in use alone.

use super::Document;
use crate::config::{LiveSpec, Refusal};

/// What becomes of a document.
#[derive(Debug)]
pub enum Verdict {
    /// It is the new spec, but for `spec.kafka`, which is the one in use.
    Take(Box<LiveSpec>),
    /// It is the one in use.
    Same,
    /// It is older than what was decided on: a mounted copy comes late, and so may an API server's cache.
    Old,
    /// It cannot be used.
    Refuse(Refusal),
}

/// Decides on a document while `current` is in use and the generation `refused` was the last that could not be.
pub fn judge(current: &LiveSpec, refused: Option<u64>, document: &Document) -> Verdict {
    let metadata = &document.metadata;
    if metadata.uid != current.uid {
        let (found, running) = (metadata.uid.clone(), current.uid.clone());
        return Verdict::Refuse(Refusal::OtherUid { found, running });
    }
    let (found, running) = (metadata.generation, current.generation.unwrap_or(0));
    if found < running || refused.is_some_and(|refused| found <= refused) {
        return Verdict::Old;
    }
    if found == running {
        return Verdict::Same;
    }
    match document.load() {
        Err(error) => Verdict::Refuse(error.into()),
        Ok(mut next) => {
            next.revision = current.revision + 1;
            // Another connection or another topic is for another process: the operator replaces this one.
            next.spec.kafka = current.spec.kafka.clone();
            Verdict::Take(Box::new(next))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::document::tests::{document, document_at};
    use super::*;

    fn running() -> LiveSpec {
        document("a", 7, "1%").load().unwrap()
    }

    fn taken(verdict: Verdict) -> LiveSpec {
        match verdict {
            Verdict::Take(spec) => *spec,
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
        assert!(matches!(judge(&running(), None, &document("a", 6, "2%")), Verdict::Old));
        assert!(matches!(judge(&running(), None, &document("a", 7, "1%")), Verdict::Same));
    }

    #[test]
    fn another_uid_is_refused_whatever_its_generation() {
        for generation in [1, 7, 99] {
            let verdict = judge(&running(), None, &document("b", generation, "2%"));
            assert!(matches!(verdict, Verdict::Refuse(Refusal::OtherUid { .. })), "{verdict:?}");
        }
    }

    #[test]
    fn a_bad_document_is_refused_with_its_problems() {
        let Verdict::Refuse(refusal) = judge(&running(), None, &document("a", 8, "lots")) else { panic!() };
        assert!(refusal.to_string().contains("spec.windows[0].tolerance"), "{refusal}");
    }

    #[test]
    fn a_refused_generation_is_judged_once_and_the_copies_of_the_good_one_do_not_hide_it() {
        assert!(matches!(judge(&running(), Some(8), &document("a", 8, "lots")), Verdict::Old));
        assert!(matches!(judge(&running(), Some(8), &document("a", 7, "1%")), Verdict::Old));
        assert_eq!(taken(judge(&running(), Some(8), &document("a", 9, "3%"))).generation, Some(9));
    }

    #[test]
    fn hot_fields_are_taken_and_the_connection_stays() {
        let next = taken(judge(&running(), None, &document_at("a", 8, "2%", "elsewhere:9092")));
        assert_eq!(next.spec.windows[0].tolerance.text, "2%");
        assert_eq!(next.spec.kafka, running().spec.kafka);
    }
}
