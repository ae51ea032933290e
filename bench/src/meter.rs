//! Alarm latency: a feed, and when an alarm of each of its quotes could be read.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use serde::Deserialize;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::quotes::Feed;
use crate::reader::Reader;

/// Between two looks at whether it is over.
const STEP: Duration = Duration::from_millis(100);
/// Alarms that have not come so long after the feed's end are not waited for.
const LATEST: Duration = Duration::from_secs(20);

/// A feed of a job, and a reader of its alarms beside it.
#[derive(Debug)]
pub(crate) struct Meter {
    feed: Feed,
    /// How many quotes there are, once the feed has ended.
    total: Arc<OnceLock<usize>>,
    reader: JoinHandle<Result<Vec<Option<Instant>>>>,
}

impl Meter {
    /// Feeds `rate` quotes a second from now on.
    pub(crate) fn start(cluster: &Cluster, job: &Job, rate: u64) -> Result<Self> {
        let alarms = Reader::from_now(cluster, &[&job.alarms()])?;
        let total = Arc::new(OnceLock::new());
        let ended = total.clone();
        let reader = std::thread::spawn(move || read(&alarms, &ended));
        Ok(Self { feed: Feed::start(cluster, &job.raw, rate)?, total, reader })
    }

    /// Ends the feed and waits for its last alarms.
    pub(crate) fn stop(self) -> Result<Latencies> {
        let sent = self.feed.stop()?;
        self.total.get_or_init(|| sent.len());
        let answered = self.reader.join().map_err(|_| Error::from("the reader of alarms broke down"))??;
        Ok(Latencies { sent, answered })
    }
}

/// When the first alarm of each quote was read, by the quote's number.
fn read(alarms: &Reader, total: &OnceLock<usize>) -> Result<Vec<Option<Instant>>> {
    let (mut answered, mut deadline): (Vec<Option<Instant>>, _) = (Vec::new(), None);
    loop {
        alarms.watch(STEP, |record| {
            let number = record.payload().and_then(number);
            if let Some(number) = number.and_then(|number| usize::try_from(number).ok()) {
                answered.resize(answered.len().max(number + 1), None);
                answered[number].get_or_insert_with(Instant::now);
            }
        })?;
        let Some(total) = total.get() else { continue };
        let over = Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + LATEST);
        let all = answered.iter().skip(FIRST).flatten().count() + FIRST >= *total;
        if over || all {
            return Ok(answered);
        }
    }
}

/// A ticker's first quote raises no alarm.
const FIRST: usize = Feed::TICKERS as usize;

/// What alarms of every measured program have; only the worker's have all fields of the wire format.
#[derive(Deserialize)]
struct Alarm<'a> {
    entityname: &'a str,
    lastupdatedate: i64,
}

fn number(alarm: &[u8]) -> Option<u64> {
    let alarm: Alarm<'_> = serde_json::from_slice(alarm).ok()?;
    Feed::number(alarm.entityname, alarm.lastupdatedate)
}

/// When each quote was sent, and when it was answered.
#[derive(Debug)]
pub(crate) struct Latencies {
    sent: Vec<Instant>,
    answered: Vec<Option<Instant>>,
}

impl Latencies {
    /// How many quotes were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Those of the quotes that were sent from `from` until `to`, in milliseconds; without an answer infinite.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Vec<f64> {
        let millis = |number: usize, sent: &Instant| match self.answered.get(number) {
            Some(Some(answered)) => (*answered - *sent).as_secs_f64() * 1e3,
            _ => f64::INFINITY,
        };
        let quotes = self.sent.iter().enumerate().skip(FIRST);
        quotes.filter(|(_, sent)| (from..to).contains(*sent)).map(|(n, sent)| millis(n, sent)).collect()
    }
}
