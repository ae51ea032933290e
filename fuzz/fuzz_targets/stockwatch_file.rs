//! StockWatch files: one, or a second one that a running worker is given.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::{Corpus, fuzz_target};
use stockwatch_core::wire::{MAX_RECORD_BYTES, encode_shapes, read_shapes};
use stockwatch_core::{Shape, ShapeChange};
use stockwatch_fuzz::input::parts;
use stockwatch_worker::config::{Decision, LiveSpec, Refusal, accept, first};

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut documents = parts(data, 2).map(std::str::from_utf8);
    let (Some(Ok(document)), second) = (documents.next(), documents.next()) else { return Corpus::Reject };
    let Some(running) = known(first(document)) else { return Corpus::Keep };
    let again = accept(&running, document).expect("a document that was taken is taken again");
    assert!(matches!(again, Decision::Same));
    if let Some(Ok(second)) = second {
        match accept(&running, second) {
            Ok(Decision::Take(next)) => check(&next),
            Ok(Decision::Same | Decision::Old) => {}
            Err(refusal) => drop(known(Err(refusal))),
        }
    }
    check(&running);
    Corpus::Keep
});

/// A refusal is a text that a log and a status can hold.
fn known(outcome: Result<LiveSpec, Refusal>) -> Option<LiveSpec> {
    if let Err(refusal) = &outcome {
        assert!(refusal.to_string().len() < 256 * 1024);
    }
    outcome.ok()
}

/// The rules of a spec come back from the storage table as they were.
fn check(live: &LiveSpec) {
    assert!(live.ignored.len() <= 100);
    let shape = Shape::of(&live.uid, live.generation.unwrap_or(1), &live.spec);
    let since = vec![1; shape.windows.len()];
    let change = ShapeChange { epoch: 1, offset: 0, since, shape: Arc::new(shape), gone: 0 };
    let record = encode_shapes(std::slice::from_ref(&change)).expect("rules can be written");
    assert!(record.len() <= MAX_RECORD_BYTES, "{} bytes", record.len());
    assert_eq!(read_shapes(&record, None), Ok(Some(vec![change])));
}
