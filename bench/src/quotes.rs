//! Quotes written to a raw topic: in bulk, or at a steady rate.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// The event time of a bulk's first quote, in seconds.
pub(crate) const FIRST_SECOND: u64 = 1_700_000_000;
/// The event time of a feed's first quote: its minutes pass in tenths of a second, and none may be ahead of the clock.
static FEED_SINCE: LazyLock<u64> = LazyLock::new(|| now() - 7 * 86_400);
const FLUSH: Duration = Duration::from_secs(60);

/// A bulk of quotes: one for each ticker and step, each ticker a random walk in cents from a fixed seed.
#[derive(Debug, Clone)]
pub(crate) struct Bulk {
    /// Numbers of the tickers `T0`, `T1` and so on.
    pub(crate) tickers: Range<u64>,
    /// Steps from the first.
    pub(crate) steps: Range<u64>,
    /// Event time between two steps, in milliseconds.
    pub(crate) step_millis: u64,
    /// How many of a hundred quotes are written twice.
    pub(crate) duplicates_percent: u64,
    /// The event time of step 0 in seconds if records are stamped with their event time, as those of a feed long ago
    /// were; else that is fixed, and the stamp is the clock's.
    pub(crate) since: Option<u64>,
    /// How long the writing of a step takes, spread evenly over its quotes.
    pub(crate) pace: Duration,
}

impl Default for Bulk {
    /// Nothing yet; steps of a minute, written as fast as can be.
    fn default() -> Self {
        Self {
            tickers: 0..0,
            steps: 0..0,
            step_millis: 60_000,
            duplicates_percent: 0,
            since: None,
            pace: Duration::ZERO,
        }
    }
}

impl Bulk {
    /// Writes them; gives the number of records.
    pub(crate) fn write(&self, cluster: &Cluster, topic: &str) -> Result<u64> {
        let producer = producer(cluster, "20")?;
        let mut random = Random(42);
        let count = self.tickers.end - self.tickers.start;
        let mut cents = vec![10_000_u64; usize::try_from(count)?];
        let gap = self.pace / u32::try_from(count)?;
        let (mut written, mut due) = (0, Instant::now());
        let (mut key, mut value) = (String::new(), String::new());
        for step in self.steps.clone() {
            let millis = self.since.unwrap_or(FIRST_SECOND) * 1000 + step * self.step_millis;
            let stamp = self.since.map(|_| millis);
            for (ticker, price) in self.tickers.clone().zip(&mut cents) {
                sleep(due.saturating_duration_since(Instant::now()));
                due += gap;
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
                write!(value, r#""lastupdatedate":{}"#, millis / 1000)?;
                if !millis.is_multiple_of(1000) {
                    write!(value, ".{:03}", millis % 1000)?;
                }
                value.push('}');
                let copies = if random.below(100) < self.duplicates_percent { 2 } else { 1 };
                for _ in 0..copies {
                    send(&producer, topic, &key, &value, stamp)?;
                }
                written += copies;
            }
        }
        producer.flush(FLUSH)?;
        Ok(written)
    }
}

/// Quotes at a steady rate from a thread of its own until stopped. The price jumps between two values from one
/// quote of a ticker to its next, so that every quote but a ticker's first raises an alarm of a window of five minutes.
#[derive(Debug)]
pub(crate) struct Feed {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<Vec<Instant>>>>,
}

impl Feed {
    /// Tickers `F0` to `F99`.
    pub(crate) const TICKERS: u64 = 100;

    /// Starts to write `rate` quotes a second to `topic`.
    pub(crate) fn start(cluster: &Cluster, topic: &str, rate: u64) -> Result<Self> {
        let producer = producer(cluster, "0")?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count, topic) = (stop.clone(), sent.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let mut times = Vec::new();
            paced(rate, &stopped, |number| {
                let (ticker, step) = (number % Self::TICKERS, number / Self::TICKERS);
                let price = if step.is_multiple_of(2) { 100 } else { 200 };
                let key = format!("F{ticker}");
                let second = *FEED_SINCE + 60 * step;
                let value = format!(
                    r#"{{"entityname":"{key}","currentstockprice":{price}.0,"lastupdatedate":{second}}}"#
                );
                times.push(Instant::now());
                send(&producer, &topic, &key, &value, None)?;
                count.store(number + 1, Ordering::Relaxed);
                Ok(())
            })?;
            producer.flush(FLUSH)?;
            Ok(times)
        });
        Ok(Self { stop, sent, thread: Some(thread) })
    }

    /// How many quotes have been written.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops; gives when each quote was written, by number.
    pub(crate) fn stop(mut self) -> Result<Vec<Instant>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("the feed was stopped before")?;
        thread.join().map_err(|_| Error::from("the feed's thread panicked"))?
    }

    /// Returns the number, counted from 0, of the quote of an entity and event time; `None` if it is not the feed's.
    pub(crate) fn number(entity: &str, second: i64) -> Option<u64> {
        let ticker: u64 = entity.strip_prefix('F')?.parse().ok()?;
        Some(u64::try_from(second).ok()?.checked_sub(*FEED_SINCE)? / 60 * Self::TICKERS + ticker)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Has `send` write quote after quote, by number, so many a second, until `stop`.
pub(crate) fn paced(rate: u64, stop: &AtomicBool, mut send: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    for number in 0.. {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / rate);
        sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        send(number)?;
    }
    Ok(())
}

fn producer(cluster: &Cluster, linger_millis: &str) -> Result<BaseProducer> {
    let mut config = cluster.client();
    config.set("linger.ms", linger_millis).set("partitioner", "murmur2_random").set("acks", "1");
    Ok(config.set("queue.buffering.max.messages", "200000").create()?)
}

/// Hands one record to the producer, waiting while its queue is full; without a stamp, in ms, it is the clock's.
fn send(producer: &BaseProducer, topic: &str, key: &str, value: &str, stamp: Option<u64>) -> Result<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    record.timestamp = stamp.and_then(|stamp| stamp.try_into().ok());
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
