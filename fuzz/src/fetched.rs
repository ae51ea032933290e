//! What must hold of whatever is read from an answer.

use stockwatch_core::wire::Quote;
use stockwatch_crds::Ticker;
use stockwatch_worker::extract::{FetchError, FetchedQuote};

/// Panics where a quote could not be written and read, or what is said of an error has no end.
pub fn check(quote: &Result<FetchedQuote, FetchError>) {
    match quote {
        Ok(quote) => {
            let ticker = Ticker { symbol: "GM.MX".into(), entity: "general \"m\"".into(), overrides: vec![] };
            let record = quote.to_json(&ticker).expect("a quote can be written");
            let read = Quote::read(&record).expect("what the extractor writes is a quote");
            assert_eq!(read.entity, ticker.entity);
            assert!(!read.is_marked);
            let _ = read.price_and_time(1_700_000_000_000);
        }
        Err(error) => {
            // What people and the schedule hear of it.
            assert!(error.to_string().chars().count() < 300);
            let _ = (error.outcome(), error.is_refusal(), error.retry_after());
        }
    }
}
