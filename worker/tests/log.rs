//! The computation, its checkpoints and their replay against the naive oracle, on a log in memory.
//!
//! A world of one raw partition: records come, shapes change, transactions commit or are lost at any
//! point, the process dies and is restored from what was committed. Outputs must be the oracle's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;
use stockwatch_core::checkpoint::{self, TableReader};
use stockwatch_core::replay::{Goal, Replay};
use stockwatch_core::wire::RawRecord;
use stockwatch_core::{
    Backfill, Effect, Encoder, OutputRecord, OutputSender, OutputTopic, Partition, Shape, ShapeChange,
};
use stockwatch_crds::{Alarms, GapPolicy, Tolerance, Window};
use stockwatch_tests::{Record, Watch, assert_alarms, oracle, outputs};

const START: i64 = 1_700_000_000;
const ENTITIES: [&str; 3] = ["a", "b", "c \"q\""];

#[derive(Debug, Clone)]
enum Event {
    /// A record: entity, minutes and seconds from the start, price in cents, whether it is spoilt.
    Quote { entity: usize, second: i64, cents: i64, bad: u8 },
    /// Other windows and entities are wanted; taken at the next transaction, or when the log is read for longer windows.
    Edit { windows: Vec<u32>, entities: u8, wildcard: bool },
    /// Other settings of alarms, without quiet time or with so many minutes.
    Settings { quiet: Option<u32>, skips_gaps: bool, min_count: u64 },
    /// So many records of the log are read for longer windows.
    Read(i64),
    /// Checkpoints of at most so many bytes, then the commit.
    Commit { budget: usize },
    /// The transaction is lost, all state with it.
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        30 => (0..3_usize, 0..1800_i64, 1..500_i64, 0..40_u8)
            .prop_map(|(entity, second, cents, bad)| Event::Quote { entity, second, cents, bad }),
        2 => (prop::sample::subsequence(vec![1_u32, 2, 3, 5, 8], 1..=3), 0..8_u8, any::<bool>())
            .prop_map(|(windows, entities, wildcard)| Event::Edit { windows, entities, wildcard }),
        1 => (prop::option::of(0..6_u32), any::<bool>(), 1..4_u64)
            .prop_map(|(quiet, skips_gaps, min_count)| Event::Settings { quiet, skips_gaps, min_count }),
        3 => (1..60_i64).prop_map(Event::Read),
        6 => prop_oneof![Just(0_usize), 1..400_usize, Just(usize::MAX)].prop_map(|budget| Event::Commit { budget }),
        2 => Just(Event::Crash),
    ]
}

fn shape(windows: &[u32], entities: u8, wildcard: bool) -> Arc<Shape> {
    let tolerance = Tolerance::parse("0").unwrap();
    let spec_windows: Vec<Window> =
        windows.iter().map(|m| Window { minutes: *m, tolerance: tolerance.clone() }).collect();
    let listed = ENTITIES.iter().enumerate().filter(|(i, _)| entities >> i & 1 == 1);
    Arc::new(Shape {
        uid: String::new(),
        generation: 1,
        windows: spec_windows,
        entities: listed.map(|(_, e)| ((*e).to_owned(), Vec::new())).collect(),
        wildcard: wildcard.then(Vec::new),
        ..Shape::default()
    })
}

/// All windows at a tolerance of 0, with these settings.
fn watch(alarms: &Alarms) -> Watch {
    let mut watch = Watch::new("log", "");
    watch.namespace = "default".into();
    watch.windows = [1, 2, 3, 5, 8].map(|minutes| (minutes, "0".into())).to_vec();
    let gaps = if alarms.gaps == GapPolicy::Skip { "Skip" } else { "Alarm" };
    watch.alarms = serde_json::json!({"gaps": gaps, "minCount": alarms.min_count});
    if let Some(quiet) = alarms.quiet {
        watch.alarms["quiet"] = format!("{quiet}m").into();
    }
    watch
}

#[derive(Default)]
struct Outputs(Vec<(OutputTopic, String, String)>);

impl OutputSender for Outputs {
    type Error = Infallible;
    fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Infallible> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.push((record.topic, text(record.key), text(record.value)));
        Ok(())
    }
}

/// What Kafka holds: the committed part, and that of the open transaction.
#[derive(Default)]
struct World {
    raw: Vec<Record>,
    table: BTreeMap<Vec<u8>, Vec<u8>>,
    staged: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    outputs: Outputs,
    open: Outputs,
    dead: Vec<(i64, &'static str)>,
    open_dead: Vec<(i64, &'static str)>,
    committed: (i64, i64),
    shapes: Vec<oracle::Shape>,
    /// The settings of each generation, as the oracle is told them.
    watches: BTreeMap<u64, Watch>,
    open_shapes: Vec<oracle::Shape>,
    /// What is read of the log for longer windows, and up to where it is to be.
    filling: Option<(Backfill, i64)>,
}

fn raw_record(record: &Record) -> RawRecord<'_> {
    RawRecord {
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        timestamp: record.timestamp,
        offset: record.offset,
    }
}

impl World {
    /// Reads at most so many records below `to` for longer windows.
    fn note(&self, backfill: &mut Backfill, to: i64, most: i64) {
        let first = || self.raw.iter().find(|r| r.timestamp >= backfill.since()).map_or(to, |r| r.offset);
        let from = backfill.next_offset.unwrap_or_else(first);
        let end = to.min(from.saturating_add(most));
        for record in self.raw.iter().filter(|r| (from..end).contains(&r.offset)) {
            backfill.note(&raw_record(record));
        }
        backfill.next_offset = Some(end);
    }

    /// Everything of the log that a recorded shape takes in.
    fn older(&self, partition: &Partition, taken: &ShapeChange) -> Backfill {
        let mut backfill = partition.backfill(taken);
        if let Some(backfill) = &mut backfill {
            self.note(backfill, taken.offset, i64::MAX);
        }
        backfill.unwrap_or_default()
    }

    fn restore(&self) -> Partition {
        let mut reader = TableReader::default();
        for (key, value) in &self.table {
            reader.read(key, Some(value)).unwrap();
        }
        let (offset, replay) = self.committed;
        let goal = Goal { partition: 0, offset, replay, timestamp: None };
        let mut replay = Replay::prepare(&goal, &reader).unwrap();
        for record in self.raw.iter().filter(|r| r.offset >= goal.replay && r.offset < goal.offset) {
            while let Some(taken) = replay.due(record.offset) {
                let older = self.older(&replay.partition, &taken);
                replay.partition.apply_shape(taken, &older, 0);
            }
            replay.advance(&raw_record(record));
        }
        while let Some(taken) = replay.due(i64::MAX) {
            let older = self.older(&replay.partition, &taken);
            replay.partition.apply_shape(taken, &older, 0);
        }
        replay.finish().unwrap()
    }

    /// Between two transactions: the partition takes what is wanted of it, if the log is read for that.
    fn edit(&mut self, partition: &mut Partition, shape: &Arc<Shape>) {
        if partition.shape().is_some_and(|s| s.decides_as(shape)) {
            self.filling = None;
            partition.end_fill();
            partition.replace_tolerances(shape.clone());
            let mut put = Self::put(&mut self.staged);
            checkpoint::write_shapes(partition, &mut put).unwrap();
            return;
        }
        let taken = partition.next_change(shape.clone());
        let is_read = |(backfill, to): &(Backfill, i64)| backfill.next_offset == Some(*to);
        if let Some(filling @ (backfill, _)) = &self.filling
            && !is_read(filling)
            && shape.longest() <= backfill.minutes()
            && partition.lacks(&taken)
        {
            return;
        }
        let read = self.filling.take().filter(is_read).map(|(backfill, _)| backfill);
        let older = match partition.fill(&taken, read) {
            Ok(older) => older,
            Err(backfill) => {
                self.filling = Some((backfill, partition.next_offset));
                return;
            }
        };
        self.open_shapes.push(oracle::Shape {
            from: taken.offset,
            windows: shape.minutes().collect(),
            entities: shape.entities.keys().cloned().collect(),
            wildcard: shape.wildcard.is_some(),
        });
        let removed = partition.apply_shape(taken, &older, 0);
        let mut put = Self::put(&mut self.staged);
        checkpoint::write_removed(&removed, &mut put).unwrap();
        checkpoint::write_shapes(partition, &mut put).unwrap();
    }

    fn put(
        staged: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) -> impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Infallible> {
        |key, value| {
            staged.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        }
    }

    fn commit(&mut self, partition: &mut Partition, budget: usize) {
        let mut put = Self::put(&mut self.staged);
        checkpoint::write_due(partition, 0, 0, budget, &mut put).unwrap();
        checkpoint::write_said(partition, &mut put).unwrap();
        drop(put);
        partition.prune_history();
        for (key, value) in self.staged.drain(..) {
            match value {
                Some(value) => drop(self.table.insert(key, value)),
                None => drop(self.table.remove(&key)),
            }
        }
        self.outputs.0.append(&mut self.open.0);
        self.dead.append(&mut self.open_dead);
        self.shapes.append(&mut self.open_shapes);
        self.committed = (partition.next_offset, partition.replay_from());
    }

    fn lose(&mut self) {
        self.staged.clear();
        self.open.0.clear();
        self.open_dead.clear();
        self.open_shapes.clear();
        self.filling = None;
    }
}

fn run(events: &[Event]) -> Result<(), TestCaseError> {
    let mut world = World::default();
    let mut encoder = Encoder::new("raw", "default", "log");
    let mut wanted = shape(&[2, 5], 0b111, false);
    world.watches.insert(1, watch(&wanted.alarms));
    // The log is written first; workers come and go over it.
    for event in events {
        if let Event::Quote { entity, second, cents, bad } = event {
            let name = serde_json::to_string(ENTITIES[*entity]).unwrap();
            let currency = match bad {
                10..20 => r#","currency":"USD""#,
                20..23 => r#","currency":"EUR""#,
                _ => "",
            };
            let quoted = if *bad == 2 { "\"" } else { "" };
            let time = if *bad == 1 { "\"soon\"".into() } else { (START + second).to_string() };
            let value = match bad {
                0 => b"{".to_vec(),
                _ => format!(
                    r#"{{"entityname":{name},"currentstockprice":{quoted}{}.{:02}{quoted},"lastupdatedate":{time}{currency}}}"#,
                    cents / 100,
                    cents % 100
                )
                .into_bytes(),
            };
            let offset = i64::try_from(world.raw.len()).unwrap();
            // Stamped about when it is for, never less than five minutes before that.
            let timestamp = (START + second) * 1000 - 299_000 + 7 * (offset % 1000);
            world.raw.push(Record {
                partition: 0,
                offset,
                timestamp,
                is_appended: false,
                key: None,
                value: Some(value),
                headers: Vec::new(),
            });
        }
    }
    let mut partition = world.restore();
    world.edit(&mut partition, &wanted);
    // After a crash the same quotes come again, with whatever rules are wanted then.
    let mut end = 0;
    for event in events.iter().chain([&Event::Commit { budget: 0 }]) {
        match event {
            Event::Quote { .. } => end += 1,
            Event::Edit { windows, entities, wildcard } => {
                world.commit(&mut partition, 0);
                let same = Shape { generation: wanted.generation, alarms: wanted.alarms, ..Shape::default() };
                let Shape { uid, windows, entities, wildcard, .. } =
                    (*shape(windows, *entities, *wildcard)).clone();
                wanted = Arc::new(Shape { uid, windows, entities, wildcard, ..same });
                world.edit(&mut partition, &wanted);
            }
            Event::Settings { quiet, skips_gaps, min_count } => {
                world.commit(&mut partition, 0);
                let gaps = if *skips_gaps { GapPolicy::Skip } else { GapPolicy::Alarm };
                let alarms = Alarms { quiet: *quiet, gaps, min_count: *min_count };
                let generation = wanted.generation + 1;
                wanted = Arc::new(Shape { generation, alarms, ..(*wanted).clone() });
                world.watches.insert(generation, watch(&alarms));
                world.edit(&mut partition, &wanted);
            }
            Event::Crash => {
                world.lose();
                partition = world.restore();
                world.edit(&mut partition, &wanted);
            }
            Event::Read(most) => {
                if let Some((mut backfill, to)) = world.filling.take() {
                    world.note(&mut backfill, to, *most);
                    let is_read = backfill.next_offset == Some(to);
                    world.filling = Some((backfill, to));
                    if is_read {
                        world.commit(&mut partition, 0);
                        world.edit(&mut partition, &wanted);
                    }
                }
            }
            Event::Commit { .. } => {}
        }
        while partition.next_offset < end {
            let record = world.raw[usize::try_from(partition.next_offset).unwrap()].clone();
            let record_at = raw_record(&record);
            match partition.process(&record_at, 0) {
                Effect::Accepted(accepted) => {
                    encoder.write(0, &record_at, &accepted, &mut world.open).unwrap();
                }
                Effect::Bad(bad) => world.open_dead.push((record.offset, bad.as_str())),
                _ => {}
            }
        }
        if let Event::Commit { budget } = event {
            world.commit(&mut partition, *budget);
        }
    }
    check(&world)
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let expected = outputs(&world.raw, oracle::fates(&world.raw, &world.shapes));
    let of = |stream| {
        let of_stream = world.outputs.0.iter().filter(move |(s, ..)| *s == stream);
        of_stream.map(|(_, k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
    };
    prop_assert_eq!(of(OutputTopic::Deduplicated), expected.deduplicated);
    prop_assert_eq!(of(OutputTopic::Averages), expected.averages);
    prop_assert_eq!(&world.dead, &expected.dead);
    let record = |(key, value): (String, String)| Record {
        partition: 0,
        offset: 0,
        timestamp: 0,
        is_appended: false,
        key: Some(key.into()),
        value: Some(value.into()),
        headers: Vec::new(),
    };
    let alarms: Vec<Record> = of(OutputTopic::Alarms).into_iter().map(record).collect();
    assert_alarms(&expected.accepted, &alarms, &world.watches);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn outputs_are_the_oracles_through_every_crash_edit_and_checkpoint(events in prop::collection::vec(event(), 1..250)) {
        run(&events)?;
    }
}

#[test]
fn a_window_of_many_quotes_survives_in_chunks() {
    let mut events = vec![Event::Edit { windows: vec![1, 8], entities: 7, wildcard: false }];
    for i in 0..3000_i64 {
        // Every seventh quote is late.
        let second = if i % 7 == 6 { i / 3 - 40 } else { i / 3 };
        events.push(Event::Quote {
            entity: usize::try_from(i % 2).unwrap(),
            second: second.max(0),
            cents: 100 + i % 37,
            bad: 9,
        });
        if i % 50 == 49 {
            events.push(Event::Commit { budget: usize::MAX });
        }
        if i % 333 == 332 {
            events.push(Event::Crash);
        }
    }
    run(&events).unwrap();
}
