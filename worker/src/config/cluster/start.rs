//! The spec that a worker in a cluster starts with.

use std::time::Duration;

use tokio::time::sleep;

use super::api::Api;
use super::copies::Copies;
use super::document::Document;
use super::error::ApiError;
use crate::config::accept::check_uid;
use crate::config::accept::{LiveSpec, Refusal};

/// For the API server to answer, in all.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Tries where there is no copy either, a second apart.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// What a worker starts with.
#[derive(Debug)]
pub struct Start {
    /// The newest good spec.
    pub spec: LiveSpec,
    /// The document that it was found in.
    pub document: Document,
    /// A newer generation, which cannot be used.
    pub refused: Option<(u64, Refusal)>,
}

/// Why there is nothing to start with.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This pod belongs to a StockWatch that is gone.
    #[error("the StockWatch that this worker was made for is gone ({0}): its pods go too")]
    Gone(Refusal),
    /// It was deleted.
    #[error("the StockWatch was deleted: its pods go too")]
    Deleted,
    /// No document can be used.
    #[error(transparent)]
    Refused(Refusal),
    /// Nobody has a document.
    #[error("the API server was asked and there is no copy: {0}")]
    Nothing(ApiError),
}

/// Asks the API server; only where that fails, the newer of the copies counts.
pub async fn start(api: &mut Api, uid: &str, copies: &Copies) -> Result<Start, StartError> {
    let mut tries = 0;
    loop {
        let answer = api.get(ASK_LIMIT).await;
        if let Err(error) = &answer {
            tracing::warn!(%error, "the API server does not say what to do: the copies count");
        }
        match choose(answer, copies.read(), uid) {
            Err(StartError::Nothing(error)) if tries < TRIES => {
                tracing::warn!(%error, "there is no copy either: trying again");
                tries += 1;
                sleep(PAUSE).await;
            }
            choice => return choice,
        }
    }
}

/// The API server's document, or the first good one of the copies, which come newest first.
fn choose(answer: Result<Document, ApiError>, copies: Vec<Document>, uid: &str) -> Result<Start, StartError> {
    let (asked, failure) = match answer {
        Ok(document) => {
            check_uid(&document.metadata.uid, uid).map_err(StartError::Gone)?;
            (Some(document), None)
        }
        Err(ApiError::NotFound) => return Err(StartError::Deleted),
        Err(error) => (None, Some(error)),
    };
    let copies = copies.into_iter().filter(|copy| copy.metadata.uid == uid);
    let mut refused: Option<(u64, Refusal)> = None;
    for document in asked.into_iter().chain(copies) {
        match document.load() {
            Ok(spec) => return Ok(Start { spec, document, refused }),
            Err(error) => {
                refused.get_or_insert_with(|| (document.metadata.generation, error.into()));
            }
        }
    }
    Err(match (refused, failure) {
        (Some((_, refusal)), _) => StartError::Refused(refusal),
        (None, Some(error)) => StartError::Nothing(error),
        (None, None) => StartError::Deleted,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::document::tests::document;
    use super::*;

    fn away() -> Result<Document, ApiError> {
        Err(ApiError::Silent(ASK_LIMIT))
    }

    fn generation(start: &Start) -> Option<u64> {
        start.spec.generation
    }

    #[test]
    fn the_api_server_is_believed_before_any_copy() {
        let copies = vec![document("a", 9, "9%")];
        let start = choose(Ok(document("a", 8, "8%")), copies, "a").unwrap();
        assert_eq!(generation(&start), Some(8));
    }

    #[test]
    fn while_it_is_away_the_newer_copy_counts() {
        let start = choose(away(), vec![document("a", 7, "7%"), document("a", 6, "6%")], "a").unwrap();
        assert_eq!((generation(&start), start.refused.is_none()), (Some(7), true));
    }

    #[test]
    fn a_copy_of_another_uid_is_none() {
        let copies = vec![document("b", 9, "9%"), document("a", 3, "3%")];
        assert_eq!(generation(&choose(away(), copies, "a").unwrap()), Some(3));
        let nothing = choose(away(), vec![document("b", 9, "9%")], "a").unwrap_err();
        assert!(matches!(nothing, StartError::Nothing(_)), "{nothing}");
    }

    #[test]
    fn a_bad_spec_leaves_the_last_good_one_in_use_and_is_told() {
        let start = choose(Ok(document("a", 8, "lots")), vec![document("a", 7, "7%")], "a").unwrap();
        assert_eq!(generation(&start), Some(7));
        let (generation, refusal) = start.refused.unwrap();
        assert_eq!(generation, 8);
        assert!(refusal.to_string().contains("spec.windows[0].tolerance"), "{refusal}");
        let nothing = choose(Ok(document("a", 8, "lots")), Vec::new(), "a").unwrap_err();
        assert!(matches!(nothing, StartError::Refused(_)), "{nothing}");
    }

    #[test]
    fn a_worker_of_a_stockwatch_that_is_gone_does_not_start() {
        let another = choose(Ok(document("b", 1, "1%")), vec![document("a", 7, "7%")], "a").unwrap_err();
        assert!(matches!(another, StartError::Gone(_)), "{another}");
        let deleted = choose(Err(ApiError::NotFound), vec![document("a", 7, "7%")], "a").unwrap_err();
        assert!(matches!(deleted, StartError::Deleted), "{deleted}");
    }
}
