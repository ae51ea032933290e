//! What the checkpoints of a slow feed cost: bytes in the table, and records that a restore replays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::convert::Infallible;
use std::sync::Arc;

use stockwatch_core::wire::{RawRecord, raw_key};
use stockwatch_core::{Backfill, Partition, Shape, checkpoint};
use stockwatch_crds::{Tolerance, Window};

const START: i64 = 1_700_000_000_000;
/// As the worker has them: the least age in ms, and bytes in a transaction.
const AGE: u64 = 5_000;
const BUDGET: usize = 16 * 1024;

/// A partition of so many tickers under these windows, fed with a quote of each every `interval` ms.
struct Feed {
    partition: Partition,
    tickers: u64,
    interval: u64,
    now: u64,
    raw_bytes: usize,
    table_bytes: usize,
    most_replayed: i64,
}

impl Feed {
    fn new(tickers: u64, interval: u64, minutes: &[u32]) -> Self {
        let window =
            |minutes: &u32| Window { minutes: *minutes, tolerance: Tolerance::parse("0.1%").unwrap() };
        let shape = Shape {
            uid: String::new(),
            generation: 1,
            windows: minutes.iter().map(window).collect(),
            entities: (0..tickers).map(|i| (format!("T{i:03}.DE"), Vec::new())).collect(),
            ..Shape::default()
        };
        let mut partition = Partition::new(0, 0, Vec::new(), Vec::new());
        partition.apply_shape(partition.next_change(Arc::new(shape)), &Backfill::default(), 0);
        Self { partition, tickers, interval, now: 0, raw_bytes: 0, table_bytes: 0, most_replayed: 0 }
    }

    /// So many intervals pass, each quote in a transaction of its own.
    fn pass(&mut self, intervals: u64) {
        (self.raw_bytes, self.table_bytes) = (0, 0);
        for quote in 0..self.tickers * intervals {
            self.now += self.interval / self.tickers;
            let name = format!("T{:03}.DE", quote % self.tickers);
            let stamp = START + i64::try_from(self.now).unwrap();
            let value = format!(
                r#"{{"entityname":"{name}","currentstockprice":{}.{:02},"lastupdatedate":{},"symbol":"{name}","currency":"EUR"}}"#,
                100 + quote % 400,
                quote % 100,
                stamp / 1000
            );
            let (key, offset) = (raw_key(&name), self.partition.next_offset);
            self.raw_bytes += key.len() + value.len();
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            self.partition.process(&RawRecord { key, value, timestamp: stamp, offset }, self.now);
            let mut put = |_: &[u8], _: Option<&[u8]>| Ok::<(), Infallible>(());
            let Ok((bytes, _)) = checkpoint::write_due(&mut self.partition, self.now, AGE, BUDGET, &mut put);
            self.table_bytes += bytes;
            let replayed = self.partition.next_offset - self.partition.replay_from();
            self.most_replayed = self.most_replayed.max(replayed);
        }
    }

    fn ratio(&self) -> f64 {
        let bytes = |n: usize| f64::from(u32::try_from(n).unwrap());
        bytes(self.table_bytes) / bytes(self.raw_bytes)
    }
}

#[test]
fn checkpoints_of_a_quote_a_minute_have_at_most_three_times_the_bytes_of_the_quotes() {
    for minutes in [&[5, 10, 15][..], &[60], &[1440]] {
        let mut feed = Feed::new(1_000, 60_000, minutes);
        feed.pass(120);
        feed.pass(60);
        println!(
            "windows {minutes:?}: {} B of quotes, {} B of checkpoints, ratio {:.2}, {} records replayed at most",
            feed.raw_bytes,
            feed.table_bytes,
            feed.ratio(),
            feed.most_replayed
        );
        assert!(feed.ratio() <= 3.0, "{}", feed.ratio());
        assert!(feed.most_replayed <= 10_000, "a restore replays {} records", feed.most_replayed);
    }
}

#[test]
fn few_tickers_are_checkpointed_before_the_raw_topic_forgets_them() {
    let mut feed = Feed::new(2, 300_000, &[15]);
    feed.pass(20);
    assert!(feed.most_replayed <= 5, "{} records in 5 min each", feed.most_replayed);
    assert!(feed.table_bytes > 0);
}

#[test]
fn a_fast_feed_is_checkpointed_as_often_as_before() {
    let mut feed = Feed::new(10, 10, &[15]);
    feed.pass(2_000);
    assert!(feed.table_bytes > 0 && feed.most_replayed <= 5_100, "{}", feed.most_replayed);
}
