//! The floor: librdkafka alone. The same raw records are consumed and as many records of the same sizes are
//! produced, to the same kinds of topics, in the same transactions; nothing is parsed or computed.
//!
//! The worker cannot cost less than this loop; parsing, state and checkpoints come on top.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::error::{Error, Result};

/// The worker's limits of a transaction and its clients' settings: the floor is measured with the same ones.
pub(crate) mod settings {
    use std::time::Duration;

    /// Raw records of one transaction, at most.
    pub(crate) const TRANSACTION_RECORDS: u32 = 10_000;
    /// Least time between two commits.
    pub(crate) const LEAST_GAP: Duration = Duration::from_millis(1);
    /// From so many records on a transaction waits for more.
    pub(crate) const BURST: u32 = 500;
    /// Age at which a transaction in a burst is committed.
    pub(crate) const BURST_AGE: Duration = Duration::from_millis(100);
    /// Between two looks at whether all records are acknowledged.
    pub(crate) const FLUSH_STEP: Duration = Duration::from_micros(200);
    /// The consumer's settings.
    pub(crate) const CONSUMER: &[(&str, &str)] = &[
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1500"),
        ("max.poll.interval.ms", "30000"),
        ("fetch.wait.max.ms", "100"),
        ("fetch.error.backoff.ms", "50"),
        ("queued.min.messages", "100000"),
        ("queued.max.messages.kbytes", "2048"),
        ("fetch.queue.backoff.ms", "2"),
        ("enable.metrics.push", "false"),
    ];
    /// Both producers' settings.
    pub(crate) const PRODUCER: &[(&str, &str)] = &[
        ("linger.ms", "2"),
        ("max.in.flight.requests.per.connection", "1"),
        ("retry.backoff.ms", "10"),
        ("delivery.report.only.error", "true"),
        ("batch.num.messages", "100000"),
        ("batch.size", "1000000"),
        ("queue.buffering.max.kbytes", "32768"),
        ("queue.buffering.max.messages", "200000"),
        ("enable.metrics.push", "false"),
    ];
    /// What the producers have besides for latency: the best that we know.
    pub(crate) const LATENCY: &[(&str, &str)] =
        &[("linger.ms", "0"), ("max.in.flight.requests.per.connection", "5")];
}

const CALL: Duration = Duration::from_secs(10);

/// Records to produce to one topic.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The topic.
    pub(crate) topic: String,
    /// Records for each raw record.
    pub(crate) rate: f64,
    /// Bytes of a value.
    pub(crate) value_len: usize,
    /// One of a window each: the minutes follow the raw key.
    pub(crate) windowed: bool,
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{},{}", self.topic, self.rate, self.value_len, self.windowed)
    }
}

impl FromStr for Output {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split(',').collect();
        let [topic, rate, value_len, windowed] = fields[..] else {
            return Err("write an output as TOPIC,RATE,VALUE_LENGTH,WINDOWED".into());
        };
        let (rate, value_len, windowed) = (rate.parse()?, value_len.parse()?, windowed.parse()?);
        Ok(Self { topic: topic.to_owned(), rate, value_len, windowed })
    }
}

/// What the floor is the floor of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// CPU for each quote: the worker's own settings.
    Cpu,
    /// Latency of what is exactly once.
    Latency,
    /// Latency without transactions.
    Plain,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Latency => "latency",
            Self::Plain => "plain",
        })
    }
}

/// What to consume and produce.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The broker's address.
    #[arg(long)]
    bootstrap: String,
    /// Consumer group, and prefix of the transactional ids.
    #[arg(long)]
    group: String,
    /// The raw topic.
    #[arg(long)]
    raw: String,
    /// Records to produce, as TOPIC,RATE,VALUE_LENGTH,WINDOWED; may be repeated.
    #[arg(long)]
    output: Vec<Output>,
    /// What it is the floor of.
    #[arg(long)]
    mode: Mode,
}

/// Runs until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let config = |settings: &[&[(&str, &str)]]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &arguments.bootstrap);
        settings.iter().copied().flatten().for_each(|(name, value)| _ = config.set(*name, *value));
        config
    };
    let latency: &[_] = if arguments.mode == Mode::Cpu { &[] } else { settings::LATENCY };
    let producer = config(&[settings::PRODUCER, latency]);
    let consumer: BaseConsumer = config(&[settings::CONSUMER]).set("group.id", &arguments.group).create()?;
    consumer.subscribe(&[&arguments.raw])?;
    let mut floor = Floor {
        outputs: arguments.output.iter().cloned().map(|o| (o, 0.0, 0)).collect(),
        ..Floor::default()
    };
    if arguments.mode == Mode::Plain {
        let producer: BaseProducer = producer.create()?;
        loop {
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                floor.answer(&producer, &message?)?;
                producer.poll(Duration::ZERO);
            }
        }
    }
    let mut producers = Vec::new();
    for turn in 0..2 {
        let id = format!("{}.{turn}", arguments.group);
        let producer: BaseProducer = producer.clone().set("transactional.id", id).create()?;
        producer.init_transactions(CALL)?;
        producers.push(producer);
    }
    let mut committed = Instant::now();
    for producer in producers.iter().cycle() {
        transaction(&consumer, producer, &arguments.raw, committed, &mut floor)?;
        committed = Instant::now();
    }
    Ok(())
}

/// One transaction: from the first record that comes to the commit.
fn transaction(
    consumer: &BaseConsumer,
    producer: &BaseProducer,
    raw: &str,
    last_commit: Instant,
    floor: &mut Floor,
) -> Result<()> {
    let mut next = loop {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            break Some(message?);
        }
    };
    producer.begin_transaction()?;
    let begun = Instant::now();
    let mut offsets: BTreeMap<i32, i64> = BTreeMap::new();
    let mut records = 0;
    while let Some(message) = next {
        floor.answer(producer, &message)?;
        offsets.insert(message.partition(), message.offset() + 1);
        records += 1;
        if records >= settings::TRANSACTION_RECORDS {
            break;
        }
        next = consumer.poll(Duration::ZERO).transpose()?;
        if next.is_none() {
            let due = match records {
                ..settings::BURST => last_commit + settings::LEAST_GAP,
                _ => begun + settings::BURST_AGE,
            };
            next = consumer.poll(due.saturating_duration_since(Instant::now())).transpose()?;
        }
    }
    let mut ends = TopicPartitionList::new();
    for (partition, offset) in offsets {
        ends.add_partition_offset(raw, partition, Offset::Offset(offset))?;
    }
    let group = consumer.group_metadata().ok_or("no group")?;
    producer.send_offsets_to_transaction(&ends, &group, CALL)?;
    producer.poll(Duration::ZERO);
    while producer.in_flight_count() > 0 {
        std::thread::sleep(settings::FLUSH_STEP);
        producer.poll(Duration::ZERO);
    }
    producer.commit_transaction(CALL)?;
    Ok(())
}

/// Filler that compresses about as well as the fields in whose place it stands.
const TEXT: &[u8] = b"count:5,isduplicate:false,deviation:,absolutedeviation:,direction:down,previousstockpriceavg:,tolerance:1%,id:";
/// Random digits of each record, as an average has.
const DIGITS: usize = 10;
const WINDOWS: [&str; 3] = ["5", "10", "15"];

/// What each output is owed, and buffers that are reused for every record.
#[derive(Default)]
struct Floor {
    /// Each output, the records owed to it, and its next window.
    outputs: Vec<(Output, f64, usize)>,
    key: Vec<u8>,
    value: Vec<u8>,
    noise: u64,
}

impl Floor {
    /// Produces what follows from one raw record.
    fn answer(&mut self, producer: &BaseProducer, raw: &BorrowedMessage<'_>) -> Result<()> {
        let (raw_key, raw_value) = (raw.key().unwrap_or_default(), raw.payload().unwrap_or_default());
        let body = raw_value.strip_suffix(b"}").unwrap_or(raw_value);
        for (output, owed, window) in &mut self.outputs {
            *owed += output.rate;
            while *owed >= 0.999 {
                *owed -= 1.0;
                self.key.clear();
                self.value.clear();
                self.value.extend_from_slice(body);
                if output.windowed {
                    let minutes = WINDOWS[*window];
                    *window = (*window + 1) % WINDOWS.len();
                    self.key.push(b'"');
                    self.key.extend_from_slice(raw_key);
                    self.key.push(b'"');
                    self.key.extend_from_slice(minutes.as_bytes());
                    self.value.extend_from_slice(br#","windowtime":"#);
                    self.value.extend_from_slice(minutes.as_bytes());
                    self.value.extend_from_slice(br#","x":""#);
                    self.noise = self
                        .noise
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let mut noise = self.noise >> 16;
                    for _ in 0..DIGITS {
                        self.value.push(b"0123456789"[(noise % 10) as usize]);
                        noise /= 10;
                    }
                } else {
                    self.key.extend_from_slice(raw_key);
                    self.value.extend_from_slice(br#","x":""#);
                }
                let fill = output.value_len.saturating_sub(self.value.len() + 2);
                self.value.extend(TEXT.iter().cycle().take(fill));
                self.value.extend_from_slice(br#""}"#);
                send(producer, &output.topic, raw.partition(), &self.key, &self.value)?;
            }
        }
        Ok(())
    }
}

/// Hands one record to the producer, waiting while its queue is full.
fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &[u8], value: &[u8]) -> Result<()> {
    let mut record = BaseRecord::to(topic).partition(partition).key(key).payload(value);
    while let Err((error, back)) = producer.send(record) {
        if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        record = back;
        producer.poll(Duration::from_millis(1));
    }
    Ok(())
}
