//! The pure core at work, for callgrind to count: a fixed stream of quotes with few alarms, or with as many as there can
//! be. It prints how many quotes, averages and alarms there were.
//!
//! `bench/before.sh` builds it against the core of the release before alarms had verdicts and episodes as well, with
//! `before.rs` in the place of `api.rs`.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod api;

use std::convert::Infallible;
use std::env;
use std::hint::black_box;

use api::{Sink, encoder, write_said};
use stockwatch_core::wire::{RawRecord, read_shapes};
use stockwatch_core::{Effect, OutputCounts, Partition, checkpoint};

const TICKERS: usize = 100;
/// Quotes of each ticker, one a minute.
const MINUTES: usize = 400;
const FIRST_SECOND: usize = 1_700_000_000;
/// Transactions and checkpoints as a worker has them while it catches up.
const QUOTES_IN_A_TRANSACTION: usize = 500;
const QUOTES_A_MILLISECOND: usize = 10;
const CHECKPOINT_AGE: u64 = 5_000;
const CHECKPOINT_BYTES: usize = 16 * 1024 + 40 * QUOTES_IN_A_TRANSACTION;

fn main() {
    let tolerance = env::args().nth(1).unwrap_or_else(|| "0.5%".into());
    let shapes = format!(
        r#"{{"uid":"","generation":1,"epoch":1,"history":[{{"epoch":1,"offset":0,"since":[1,1,1],"uid":"","generation":1,"windows":[5,10,15],"tolerances":["{tolerance}","{tolerance}","{tolerance}"],"entities":[],"wildcard":true}}]}}"#
    );
    let mut partition =
        Partition::new(0, 0, read_shapes(shapes.as_bytes(), None).unwrap().unwrap(), Vec::new());
    let written = compute(&mut partition, &quotes());
    println!("{} quotes, {} averages, {} alarms", TICKERS * MINUTES, written.averages, written.alarms);
}

/// Random walks in cents, the same in every run.
fn quotes() -> Vec<String> {
    let mut random = 42_u64;
    let mut below = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) % limit
    };
    let mut cents = [10_000_u64; TICKERS];
    let mut quotes = Vec::new();
    for minute in 0..MINUTES {
        for (ticker, price) in cents.iter_mut().enumerate() {
            *price = (*price + below(101)).saturating_sub(50).max(5_000);
            quotes.push(format!(
                r#"{{"entityname":"T{ticker}","symbol":"T{ticker}.DE","currency":"EUR","currentstockprice":{}.{:02},"lastupdatedate":{}}}"#,
                *price / 100,
                *price % 100,
                FIRST_SECOND + 60 * minute
            ));
        }
    }
    quotes
}

/// What is counted.
#[inline(never)]
fn compute(partition: &mut Partition, quotes: &[String]) -> OutputCounts {
    let (mut encoder, mut sink, mut all) = (encoder(), Sink, OutputCounts::default());
    for (number, value) in quotes.iter().enumerate() {
        let offset = i64::try_from(number).unwrap();
        let timestamp = i64::try_from(FIRST_SECOND * 1000 + number * 60_000 / TICKERS).unwrap();
        let record = RawRecord { key: None, value: Some(value.as_bytes()), timestamp, offset };
        let now = u64::try_from(number / QUOTES_A_MILLISECOND).unwrap();
        if let Effect::Accepted(accepted) = partition.process(&record, now) {
            let Ok(written) = encoder.write(0, &record, &accepted, &mut sink);
            all.averages += written.averages;
            all.alarms += written.alarms;
        }
        if (number + 1).is_multiple_of(QUOTES_IN_A_TRANSACTION) {
            let mut put = |key: &[u8], value: Option<&[u8]>| {
                black_box((key, value));
                Ok::<(), Infallible>(())
            };
            let Ok(_) = checkpoint::write_due(partition, now, CHECKPOINT_AGE, CHECKPOINT_BYTES, &mut put);
            write_said(partition, &mut put);
            partition.prune_history();
        }
    }
    all
}
