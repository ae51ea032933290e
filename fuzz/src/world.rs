//! One raw partition as the worker keeps it: a log, a storage table, and a state that may be lost at any time.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use serde::de::IgnoredAny;
use stockwatch_core::checkpoint::{self, TableReader};
use stockwatch_core::replay::{Goal, Replay};
use stockwatch_core::wire::{MAX_VALUE_BYTES, RawRecord};
use stockwatch_core::{
    Backfill, Effect, Encoder, Entity, OutputRecord, OutputSender, OutputTopic, Partition, Said, Shape,
    ShapeChange,
};
use stockwatch_crds::{Tolerance, Window};

use crate::input::{ENTITIES, Event};

/// A raw record that the log keeps; its offset is its place.
#[derive(Debug, Clone)]
pub struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: i64,
}

impl Record {
    /// A record as the computation takes it.
    pub fn at(&self, offset: i64) -> RawRecord<'_> {
        RawRecord {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            timestamp: self.timestamp,
            offset,
        }
    }
}

/// Outputs, each of which must be what its readers can read.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Averages and alarms are read too: they are most of the outputs, so not those of every record.
    thorough: bool,
    deduplicated: usize,
    averages: usize,
    alarms: usize,
}

impl OutputSender for Outputs {
    type Error = Infallible;

    fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Infallible> {
        let OutputRecord { topic, key, value, .. } = record;
        match topic {
            OutputTopic::Deduplicated => self.deduplicated += 1,
            OutputTopic::Averages => self.averages += 1,
            OutputTopic::Alarms => self.alarms += 1,
            OutputTopic::Ledger => {}
        }
        assert!(key.starts_with(b"\"") && key.len() < 64 * 6 + 8, "a key of {} bytes", key.len());
        assert!(value.len() < MAX_VALUE_BYTES + 1024, "a value of {} bytes", value.len());
        if topic != OutputTopic::Deduplicated && !self.thorough {
            return Ok(());
        }
        let json = serde_json::from_slice::<IgnoredAny>(value);
        assert!(json.is_ok(), "{json:?}: {}", String::from_utf8_lossy(value));
        Ok(())
    }
}

/// Rules over windows in minutes, ascending.
pub fn shape(windows: &[u32], entities: u8, wildcard: bool) -> Arc<Shape> {
    let tolerance = Tolerance::default();
    let listed = ENTITIES.iter().enumerate().filter(|(i, _)| entities >> i & 1 == 1);
    Arc::new(Shape {
        uid: String::new(),
        generation: 1,
        windows: windows.iter().map(|m| Window { minutes: *m, tolerance: tolerance.clone() }).collect(),
        entities: listed.map(|(_, e)| ((*e).to_owned(), Vec::new())).collect(),
        wildcard: wildcard.then(Vec::new),
        ..Shape::default()
    })
}

/// Computes a record and writes what follows; says whether it was accepted.
pub fn absorb(partition: &mut Partition, record: &RawRecord<'_>, encoder: &mut Encoder) -> bool {
    let number = partition.number;
    let (offset, entities) = (partition.next_offset, partition.entities().len());
    let accepted = match partition.process(record, 0) {
        Effect::Accepted(accepted) => {
            let mut outputs = Outputs { thorough: record.offset % 8 == 0, ..Outputs::default() };
            let Ok(written) = encoder.write(number, record, &accepted, &mut outputs);
            let windows = accepted.shape.windows.len();
            assert_eq!((outputs.deduplicated, outputs.averages), (1, windows));
            assert_eq!((written.averages, written.alarms), (windows as u64, outputs.alarms as u64));
            assert!(outputs.alarms <= windows);
            assert!(accepted.entity.value.len() <= MAX_VALUE_BYTES);
            true
        }
        _ => false,
    };
    assert!(partition.next_offset >= offset);
    assert!(
        partition.entities().len() <= entities + usize::from(accepted),
        "a refused record left an entity"
    );
    accepted
}

/// The quotes that a longer window takes in from a log.
pub fn older(log: &[Record], partition: &Partition, taken: &ShapeChange) -> Backfill {
    let Some(mut older) = partition.backfill(taken) else { return Backfill::default() };
    let first = log.iter().position(|r| r.timestamp >= older.since()).unwrap_or(log.len());
    for (offset, record) in (0..).zip(log).skip(first).take_while(|(o, _)| *o < taken.offset) {
        older.note(&record.at(offset));
    }
    older
}

/// What an entity has come to, as far as anybody can tell.
type Outlook = BTreeMap<String, (Vec<u8>, i64, Vec<(i64, i64)>, Said)>;

/// What the partition has come to.
pub fn outlook(partition: &Partition) -> Outlook {
    let samples = |e: &Entity| e.samples().iter().map(|s| (s.time, s.price)).collect();
    let of = |e: &Entity| (e.value.clone(), e.accepted, samples(e), e.said.clone());
    partition.entities().map(|(n, e)| (n.to_string(), of(e))).collect()
}

/// See the module.
pub struct World {
    log: Vec<Record>,
    /// The storage table as committed.
    pub table: BTreeMap<Vec<u8>, Vec<u8>>,
    staged: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    committed: (i64, i64),
    wanted: Arc<Shape>,
    partition: Partition,
    encoder: Encoder,
    accepted: usize,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An empty log, read by its first worker.
    pub fn new() -> Self {
        let mut world = Self {
            log: Vec::new(),
            table: BTreeMap::new(),
            staged: Vec::new(),
            committed: (0, 0),
            wanted: shape(&[2, 5], 0b111, true),
            partition: Partition::new(0, 0, Vec::new(), Vec::new()),
            encoder: Encoder::new("raw", "default", "fuzz"),
            accepted: 0,
        };
        world.edit();
        world
    }

    /// Where the group is, and where replay begins.
    pub fn committed(&self) -> (i64, i64) {
        self.committed
    }

    /// One thing happens.
    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Record { key, value, timestamp } => {
                let offset = self.partition.next_offset;
                self.log.push(Record { key, value, timestamp });
                let Some(record) = self.log.last() else { return };
                self.accepted +=
                    usize::from(absorb(&mut self.partition, &record.at(offset), &mut self.encoder));
            }
            Event::Edit { windows, entities, wildcard } => {
                if !windows.is_empty() {
                    self.commit(0);
                    self.wanted = shape(&windows, entities, wildcard);
                    self.edit();
                }
            }
            Event::Commit { budget } => self.commit(budget),
            Event::Crash => self.crash(),
        }
    }

    fn restore(&self) -> Partition {
        let mut reader = TableReader::default();
        for (key, value) in &self.table {
            reader.read(key, Some(value)).expect("what was written can be read");
        }
        let (offset, replay) = self.committed;
        let goal = Goal { partition: 0, offset, replay, timestamp: None };
        let mut replaying = Replay::prepare(&goal, &reader).expect("what was written can be restored");
        for (offset, record) in (0..).zip(&self.log).filter(|(o, _)| (replay..goal.offset).contains(o)) {
            while let Some(taken) = replaying.due(offset) {
                let older = older(&self.log, &replaying.partition, &taken);
                replaying.partition.apply_shape(taken, &older, 0);
            }
            replaying.advance(&record.at(offset));
        }
        while let Some(taken) = replaying.due(i64::MAX) {
            let older = older(&self.log, &replaying.partition, &taken);
            replaying.partition.apply_shape(taken, &older, 0);
        }
        replaying.finish().expect("the topic is the same")
    }

    fn edit(&mut self) {
        if self.partition.shape().is_some_and(|s| s.decides_as(&self.wanted)) {
            return;
        }
        let taken = self.partition.next_change(self.wanted.clone());
        let older = older(&self.log, &self.partition, &taken);
        let removed = self.partition.apply_shape(taken, &older, 0);
        let staged = &mut self.staged;
        let mut put = |key: &[u8], value: Option<&[u8]>| {
            staged.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok::<(), Infallible>(())
        };
        let Ok(()) = checkpoint::write_removed(&removed, &mut put);
        let Ok(()) = checkpoint::write_shapes(&mut self.partition, &mut put);
    }

    fn commit(&mut self, budget: usize) {
        let staged = &mut self.staged;
        let mut put = |key: &[u8], value: Option<&[u8]>| {
            staged.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok::<(), Infallible>(())
        };
        let Ok(_) = checkpoint::write_due(&mut self.partition, 0, 0, budget, &mut put);
        let Ok(_) = checkpoint::write_said(&mut self.partition, &mut put);
        self.partition.prune_history();
        for (key, value) in self.staged.drain(..) {
            match value {
                Some(value) => drop(self.table.insert(key, value)),
                None => drop(self.table.remove(&key)),
            }
        }
        self.committed = (self.partition.next_offset, self.partition.replay_from());
    }

    /// What was not committed is computed again from the log.
    fn crash(&mut self) {
        self.staged.clear();
        self.partition = self.restore();
        self.edit();
        while let Some(record) =
            usize::try_from(self.partition.next_offset).ok().and_then(|o| self.log.get(o))
        {
            let offset = self.partition.next_offset;
            absorb(&mut self.partition, &record.at(offset), &mut self.encoder);
        }
    }

    /// All that must hold at any time: the state is bounded by what was accepted, and comes back as it was.
    pub fn check(&mut self) {
        let samples: usize = self.partition.entities().map(|(_, e)| e.samples().len()).sum();
        assert!(samples <= self.log.len() && self.partition.entities().len() <= self.log.len());
        self.commit(usize::MAX);
        assert_eq!(outlook(&self.restore()), outlook(&self.partition), "restored from checkpoints");
    }

    /// The tables of all entities, by name, for seeds.
    pub fn names(&self) -> HashMap<String, usize> {
        self.partition.entities().map(|(n, e)| (n.to_string(), e.samples().len())).collect()
    }
}
