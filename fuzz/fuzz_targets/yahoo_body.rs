//! Bodies of Yahoo's chart answers: a quote that is read is a raw record that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockwatch_core::wire::Quote;
use stockwatch_crds::Ticker;
use stockwatch_worker::extract::chart;

fuzz_target!(|body: &[u8]| {
    match chart::read(body) {
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
            let _ = (error.outcome(), error.retry_after());
        }
    }
});
