//! One StockWatch on one broker: its topics and file, what is written for it, and whether its outputs are right.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::broker::Broker;
use crate::compare::{Outputs, assert_alarms, assert_event, outputs};
use crate::feed::Feeder;
use crate::ledger::{Held, assert_ledger};
use crate::market::{Market, Raw};
use crate::namespace::Namespace;
use crate::oracle::{Shape, fates};
use crate::producer::Producer;
use crate::taken::taken;
use crate::topics::{Isolation, Record, Topics};
use crate::wait::{soon, wait_for};
use crate::watch::{Topic, Watch};
use crate::worker::{Launch, Worker};

/// A StockWatch with its topics on a broker.
pub struct Scene<'b> {
    /// The broker.
    pub broker: &'b Broker,
    /// The test's view of Kafka.
    pub topics: Topics,
    /// Writes raw records.
    pub producer: Producer,
    /// The StockWatch as last edited.
    pub watch: Watch,
    /// Every one that held, by generation.
    watches: BTreeMap<u64, Watch>,
    dir: TempDir,
}

impl<'b> Scene<'b> {
    /// A StockWatch of [`Watch::new`] with a change, its file written, topics of 3 partitions.
    pub fn new(broker: &'b Broker, name: &str, change: impl FnOnce(&mut Watch)) -> Self {
        let scene = Self::without_topics(broker, name, change);
        scene.create_topics(3);
        scene
    }

    /// The same without its topics.
    pub fn without_topics(broker: &'b Broker, name: &str, change: impl FnOnce(&mut Watch)) -> Self {
        let mut watch = Watch::new(name, broker.bootstrap());
        change(&mut watch);
        let mut scene = Self {
            broker,
            topics: Topics::new(broker.client()),
            producer: Producer::new(broker.client()),
            watch: watch.clone(),
            watches: BTreeMap::new(),
            dir: tempfile::Builder::new().prefix("stockwatch-scene-").tempdir().unwrap(),
        };
        scene.accept(watch);
        scene.write("watch.yaml");
        scene
    }

    /// A StockWatch of [`Watch::new`] with a change, applied in a namespace of the cluster; its raw topic, which is
    /// someone else's, has 3 partitions. So is the ledger of accounts, which is there before the first quote.
    pub fn apply(broker: &'b Broker, home: &Namespace, name: &str, change: impl FnOnce(&mut Watch)) -> Self {
        let mut watch = Watch::new(name, broker.bootstrap());
        watch.move_to(home.name());
        change(&mut watch);
        let topics = Topics::new(broker.client());
        for topic in [Topic::Raw].into_iter().chain(ledger(&watch)) {
            topics.create(&watch.topic(topic), 3, &[]);
        }
        home.apply(&watch.text()).unwrap();
        Self::applied(broker, &home.get(&format!("stockwatch/{name}")))
    }

    /// The StockWatch that an API server shows, on the broker that it names.
    pub fn applied(broker: &'b Broker, object: &serde_json::Value) -> Self {
        Self::without_topics(broker, "applied", |watch| *watch = Watch::of(object))
    }

    /// Another generation of it, as the API server shows it.
    pub fn applied_again(&mut self, object: &serde_json::Value) {
        self.watch = Watch::of(object);
        self.accept(self.watch.clone());
    }

    /// Creates all topics, with accounts also the ledger.
    pub fn create_topics(&self, partitions: i32) {
        for topic in Topic::ALL.into_iter().chain(ledger(&self.watch)) {
            self.create_topic(topic, partitions, &[]);
        }
    }

    /// Creates one topic, the table compacted.
    pub fn create_topic(&self, topic: Topic, partitions: i32, settings: &[(&str, &str)]) {
        let mut settings = settings.to_vec();
        if topic == Topic::Table {
            settings.push(("cleanup.policy", "compact"));
        }
        self.topics.create(&self.watch.topic(topic), partitions, &settings);
    }

    /// The path of a file of this scene.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Writes the StockWatch to a file, at once as `kubectl` or an editor would, and gives its path.
    pub fn write(&self, file: &str) -> PathBuf {
        let path = self.path(file);
        let new = self.path(&format!(".{file}.new"));
        std::fs::write(&new, self.watch.text()).unwrap();
        std::fs::rename(&new, &path).unwrap();
        path
    }

    /// Changes the StockWatch, as its next generation, without writing it to a file.
    pub fn change(&mut self, change: impl FnOnce(&mut Watch)) {
        change(&mut self.watch);
        self.watch.generation = self.watch.generation.map(|generation| generation + 1);
        self.accept(self.watch.clone());
    }

    /// Changes the StockWatch and its file.
    pub fn edit(&mut self, changed: impl FnOnce(&mut Watch)) {
        self.change(changed);
        self.write("watch.yaml");
    }

    /// The number of the last generation.
    pub fn generation(&self) -> u64 {
        *self.watches.keys().next_back().unwrap()
    }

    fn accept(&mut self, watch: Watch) {
        let counted = self.watches.keys().next_back().map_or(1, |last| last + 1);
        self.watches.insert(watch.generation.unwrap_or(counted), watch);
    }

    /// How a worker of this StockWatch is started.
    pub fn launch(&self, id: &str) -> Launch {
        Launch {
            program: None,
            file: self.path("watch.yaml"),
            id: id.into(),
            credentials: None,
            source_secrets: None,
            authority: None,
        }
    }

    /// Starts a worker and waits until it is ready.
    pub fn worker(&self, id: &str) -> Worker {
        let mut worker = self.launch(id).start();
        worker.await_ready();
        worker
    }

    /// Writes a raw record to the partition of its key.
    pub fn send(&self, raw: &Raw) {
        self.producer.send(&self.watch.topic(Topic::Raw), None, raw.key.as_deref(), raw.value.as_deref());
    }

    /// Writes a raw record to a partition.
    pub fn send_to(&self, partition: i32, raw: &Raw) {
        let topic = self.watch.topic(Topic::Raw);
        self.producer.send(&topic, Some(partition), raw.key.as_deref(), raw.value.as_deref());
    }

    /// Waits until all raw records that were written are in Kafka.
    pub fn flush(&self) {
        self.producer.flush();
    }

    /// Writes so many of a market's records and waits until they are in Kafka.
    pub fn send_market(&self, market: &mut Market, count: usize) {
        for _ in 0..count {
            self.send(&market.next_raw());
        }
        self.producer.flush();
    }

    /// Lets a market's records flow, about so many a second.
    pub fn feed(&self, market: Market, rate: u32) -> Feeder {
        let producer = Producer::new(self.broker.client());
        Feeder::start(producer, self.watch.topic(Topic::Raw), market, rate)
    }

    /// All committed records of a topic, by partition.
    pub fn read(&self, topic: Topic) -> Vec<Vec<Record>> {
        self.topics.read(&self.watch.topic(topic), Isolation::Committed)
    }

    /// Offsets committed by the worker, with the commit's metadata, by partition.
    pub fn committed(&self) -> BTreeMap<i32, (i64, String)> {
        self.topics.committed(&self.watch.group(), &self.watch.topic(Topic::Raw))
    }

    /// How many raw records, over all partitions, are committed.
    pub fn progress(&self) -> i64 {
        self.committed().values().map(|(offset, _)| offset).sum()
    }

    /// Waits until the workers have come so many raw records further.
    pub fn await_progress(&self, records: i64) {
        self.await_committed(self.progress() + records);
    }

    /// Waits until so many raw records, over all partitions, are committed.
    pub fn await_committed(&self, least: i64) {
        wait_for(60, &format!("{least} raw records committed"), || {
            let seen = self.progress();
            let raw = self.watch.topic(Topic::Raw);
            let written = || (0..self.topics.partitions(&raw)).map(|p| self.topics.end(&raw, p)).sum::<i64>();
            if seen >= least { Ok(()) } else { Err(format!("{seen} of {} written", written())) }
        });
    }

    /// Waits until all that is in the raw topic is committed.
    pub fn settle(&self) {
        self.producer.flush();
        let raw = self.watch.topic(Topic::Raw);
        let ends = (0..self.topics.partitions(&raw)).map(|p| (p, self.topics.end(&raw, p)));
        let ends: BTreeMap<i32, i64> = ends.filter(|(_, end)| *end > 0).collect();
        wait_for(90, "all raw records committed", || {
            let committed = self.committed();
            let done = ends.iter().all(|(p, end)| committed.get(p).is_some_and(|(offset, _)| offset >= end));
            soon(done, (&committed, &ends))
        });
    }

    /// The shapes that each raw partition took, as its table partition has recorded them.
    pub fn shapes(&self) -> Vec<Vec<Shape>> {
        let table = self.read(Topic::Table);
        let recorded = |(partition, records): (usize, &Vec<Record>)| taken(partition, records, &self.watches);
        table.iter().enumerate().map(recorded).collect()
    }

    /// Waits until all is committed, and panics where any output is not what the oracle says.
    ///
    /// For topics of equal partition counts and a raw log that is whole.
    pub fn assert_right(&self) -> Vec<Outputs> {
        self.settle();
        let raw = self.read(Topic::Raw);
        let shapes = self.shapes();
        let [deduplicated, averages, alarms, dead] =
            [Topic::Deduplicated, Topic::Averages, Topic::Alarms, Topic::DeadLetter].map(|t| self.read(t));
        let mut all = Vec::new();
        for (p, raw) in raw.iter().enumerate() {
            let expected = if raw.is_empty() {
                Outputs::default()
            } else {
                assert!(!shapes[p].is_empty(), "partition {p} recorded no shape");
                outputs(raw, fates(raw, &shapes[p]))
            };
            assert_same(&format!("after-dedup of partition {p}"), &expected.deduplicated, &deduplicated[p]);
            assert_same(&format!("averages of partition {p}"), &expected.averages, &averages[p]);
            self.assert_dead_letters(raw, &expected.dead, &dead[p]);
            assert_alarms(&expected.accepted, &alarms[p], &self.watches);
            let of_this_release = |alarm: &&Record| !self.watch.is_of_older(alarm);
            alarms[p].iter().filter(of_this_release).for_each(|alarm| assert_event(alarm, &self.watch));
            all.push(expected);
        }
        assert!(all.iter().any(|outputs| !outputs.accepted.is_empty()), "the test had no quotes at all");
        all
    }

    /// The same, and so is the ledger, by terms that have been the same all along.
    pub fn assert_right_with_ledger(&self) -> Vec<Outputs> {
        let outputs = self.assert_right();
        let (alarms, ledger) = (self.read(Topic::Alarms), self.read(Topic::Ledger));
        // Which quotes were the first of a later generation is not known.
        let generation = self.watch.generation.filter(|_| self.watches.len() == 1);
        let watch = Watch { generation, ..self.watch.clone() };
        let held = [Held { from: 0, watch, has_ledger: true }];
        for (partition, outputs) in outputs.iter().enumerate() {
            assert_ledger(&outputs.accepted, &alarms[partition], &ledger[partition], &held);
        }
        assert!(ledger.iter().any(|entries| !entries.is_empty()), "no account was ever begun");
        outputs
    }

    fn assert_dead_letters(&self, raw: &[Record], expected: &[(i64, &'static str)], dead: &[Record]) {
        for (i, (offset, reason)) in expected.iter().enumerate() {
            let source = raw.iter().find(|record| record.offset == *offset).unwrap();
            let Some(letter) = dead.get(i) else { panic!("no dead letter for {reason}: {source:?}") };
            self.assert_headers(letter, source, reason);
            assert_eq!(
                (&letter.key, &letter.value),
                (&source.key, &source.value),
                "bytes of the dead letter"
            );
        }
        assert_eq!(dead.len(), expected.len(), "dead letters that nothing caused");
    }

    /// Panics where a dead letter's headers do not say why and whence.
    pub fn assert_headers(&self, letter: &Record, source: &Record, reason: &str) {
        let says = ["reason", "topic", "partition", "offset", "timestamp", "timestamp-type"]
            .map(|name| letter.header(&format!("stockwatch-{name}")).unwrap_or_default());
        let is_of_older = self.watch.has_older && letter.header("stockwatch-timestamp").is_none();
        let stamp = if source.is_appended { "LogAppendTime" } else { "CreateTime" };
        let of_stamp = |text: String| if is_of_older { String::new() } else { text };
        let expected = [
            reason.into(),
            self.watch.topic(Topic::Raw),
            source.partition.to_string(),
            source.offset.to_string(),
            of_stamp(source.timestamp.to_string()),
            of_stamp(stamp.into()),
        ];
        assert_eq!(says, expected, "headers of the dead letter of {}", source.text());
        let own: Vec<_> = source.headers.iter().filter(|(name, _)| letter.header(name).is_none()).collect();
        assert!(own.is_empty() || letter.value.is_none(), "headers of its own are missing: {own:?}");
    }
}

/// The topic of paper accounts, where there are some.
fn ledger(watch: &Watch) -> Option<Topic> {
    (!watch.trade.is_null()).then_some(Topic::Ledger)
}

fn assert_same(what: &str, expected: &[(String, String)], got: &[Record]) {
    for (i, (key, value)) in expected.iter().enumerate() {
        let Some(record) = got.get(i) else {
            panic!("{what}: {} of {} records, lost from {value} on", got.len(), expected.len());
        };
        assert_eq!((&record.key_text(), &record.text()), (key, value), "{what}, record {i}");
    }
    assert_eq!(
        got.len(),
        expected.len(),
        "{what}: more than expected, from {:?} on",
        got.get(expected.len())
    );
}
