//! Quotes written to a raw topic: in bulk, or at a steady rate.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use stockwatch_core::NANO;
use stockwatch_core::wire::AverageRecord;

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// The event time of the first quote, in seconds.
pub(crate) const FIRST_SECOND: u64 = 1_700_000_000;
const FLUSH: Duration = Duration::from_secs(60);

/// A bulk of quotes: one for each ticker and step, each ticker a random walk in cents from a fixed seed.
#[derive(Debug, Clone)]
pub(crate) struct Bulk {
    /// Tickers `T0`, `T1` and so on.
    pub(crate) tickers: u64,
    /// Steps from the first.
    pub(crate) steps: std::ops::Range<u64>,
    /// Event time between two steps, in milliseconds.
    pub(crate) step_millis: u64,
    /// How many of a hundred quotes are written twice.
    pub(crate) duplicates_percent: u64,
}

impl Bulk {
    /// Writes them; gives the number of records.
    pub(crate) fn write(&self, cluster: &Cluster, topic: &str) -> Result<u64> {
        let producer = producer(cluster, "20")?;
        let mut random = Random(42);
        let mut cents = vec![10_000_u64; usize::try_from(self.tickers)?];
        let mut written = 0;
        let (mut key, mut value) = (String::new(), String::new());
        for step in self.steps.clone() {
            let millis = step * self.step_millis;
            let (second, rest) = (FIRST_SECOND + millis / 1000, millis % 1000);
            for (ticker, price) in cents.iter_mut().enumerate() {
                *price = (*price + random.below(101)).saturating_sub(50).max(100);
                key.clear();
                write!(key, "T{ticker}")?;
                value.clear();
                write!(
                    value,
                    r#"{{"entityname":"{key}","currentstockprice":{}.{:02},"#,
                    *price / 100,
                    *price % 100
                )?;
                write!(value, r#""lastupdatedate":{second}"#)?;
                if rest > 0 {
                    write!(value, ".{rest:03}")?;
                }
                value.push('}');
                let copies = if random.below(100) < self.duplicates_percent { 2 } else { 1 };
                for _ in 0..copies {
                    send(&producer, topic, &key, &value)?;
                }
                written += copies;
            }
        }
        producer.flush(FLUSH)?;
        Ok(written)
    }
}

/// Quotes at a steady rate from a thread of its own until stopped. The price jumps between two values from one
/// quote of a ticker to its next, so that every quote raises an alarm of the shortest window.
#[derive(Debug)]
pub(crate) struct Feed {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Feed {
    /// Tickers `F0` to `F99`.
    const TICKERS: u64 = 100;

    /// Starts to write `rate` quotes a second to `topic`.
    pub(crate) fn start(cluster: &Cluster, topic: &str, rate: u64) -> Result<Self> {
        let producer = producer(cluster, "0")?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count, topic) = (stop.clone(), sent.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                let due = started + Duration::from_nanos(number * 1_000_000_000 / rate);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let (ticker, step) = (number % Self::TICKERS, number / Self::TICKERS);
                let price = if step.is_multiple_of(2) { 100 } else { 200 };
                let key = format!("F{ticker}");
                let second = FIRST_SECOND + 60 * step;
                let value = format!(
                    r#"{{"entityname":"{key}","currentstockprice":{price}.0,"lastupdatedate":{second}}}"#
                );
                send(&producer, &topic, &key, &value)?;
                number += 1;
                count.store(number, Ordering::Relaxed);
            }
            producer.flush(FLUSH)?;
            Ok(number)
        });
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// How many quotes have been written.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops; gives how many quotes were written in all.
    pub(crate) fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("the feed was stopped before")?;
        thread.join().map_err(|_| Error::from("the feed broke down"))?
    }

    /// Returns the number, counted from 0, of the quote that an average follows from; `None` if it is not the feed's.
    pub(crate) fn number(average: &AverageRecord) -> Option<u64> {
        let ticker: u64 = average.entity.strip_prefix('F')?.parse().ok()?;
        let second = u64::try_from(average.time / NANO).ok()?;
        Some((second.checked_sub(FIRST_SECOND)? / 60) * Self::TICKERS + ticker)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn producer(cluster: &Cluster, linger_millis: &str) -> Result<BaseProducer> {
    let mut config = cluster.client();
    config.set("linger.ms", linger_millis).set("partitioner", "murmur2_random").set("acks", "1");
    Ok(config.set("queue.buffering.max.messages", "200000").create()?)
}

/// Hands one record to the producer, waiting while its queue is full.
fn send(producer: &BaseProducer, topic: &str, key: &str, value: &str) -> Result<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

/// Marsaglia's xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
