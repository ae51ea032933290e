//! One raw partition as a worker keeps it: a log, a storage table that is never compacted, and a state that a restore
//! must give at any time.

use std::convert::Infallible;
use std::sync::Arc;

use stockwatch_core::account::{Entry, Reason};
use stockwatch_core::checkpoint::{self, TableReader};
use stockwatch_core::replay::{Goal, Replay};
use stockwatch_core::wire::{MAX_RECORD_BYTES, RawRecord};
use stockwatch_core::{Backfill, Currency, Effect, Judgement, NANO, Partition, Removed, Said, Shape};
use stockwatch_crds::{Enter, Tolerance, Trade, Window};

pub const START: i64 = 1_700_000_000;

/// What an entity has come to: its last value and offset, its currency and since when, samples, averages, windows that
/// have an average before, and what was said of it.
type Outlook =
    (Vec<u8>, i64, i64, (i64, Option<Currency>), Vec<(i64, i64)>, Vec<(i128, u64)>, Vec<u32>, Said);

/// Windows with their tolerances, entities, and whether all others are computed too.
pub fn shape<'a>(
    generation: u64,
    windows: &[(u32, &str)],
    entities: impl Iterator<Item = &'a str>,
    wildcard: bool,
) -> Arc<Shape> {
    let window = |(minutes, text): &(u32, &str)| Window {
        minutes: *minutes,
        tolerance: Tolerance::parse(text).unwrap(),
    };
    Arc::new(Shape {
        uid: "6f2c".into(),
        generation,
        windows: windows.iter().map(window).collect(),
        entities: entities.map(|e| (e.to_owned(), Vec::new())).collect(),
        wildcard: wildcard.then(Vec::new),
        ..Shape::default()
    })
}

/// Terms of accounts that follow the window of these minutes; a fill costs one.
pub fn terms(minutes: u32) -> Trade {
    Trade {
        minutes,
        enter: Enter::Up,
        budget: 1_000 * NANO,
        fee_bps: 0,
        fee_minimum: NANO,
        slippage_bps: 0,
        max_wait: 15,
        stop_loss: None,
    }
}

pub struct Kept {
    /// Values and timestamps of the raw records.
    pub log: Vec<(Vec<u8>, i64)>,
    /// Every record that was ever written to the table.
    pub table: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    staged: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    committed: (i64, i64),
    pub live: Partition,
    /// What the last record was, if it was accepted.
    pub judgement: Judgement,
    /// Whether there is a ledger to write.
    pub has_ledger: bool,
    /// Every entry of paper accounts that was committed.
    pub ledger: Vec<(String, Entry)>,
    staged_entries: Vec<(String, Entry)>,
    removed: Vec<Removed>,
    is_shape_due: bool,
    wanted: Arc<Shape>,
    /// What is read of the log for a longer window, and up to where it is to be.
    filling: Option<(Backfill, i64)>,
}

impl Kept {
    pub fn new(shape: Arc<Shape>) -> Self {
        let mut kept = Self {
            log: Vec::new(),
            table: Vec::new(),
            staged: Vec::new(),
            committed: (0, 0),
            live: Partition::new(0, 0, Vec::new(), Vec::new()),
            judgement: Judgement::default(),
            has_ledger: false,
            ledger: Vec::new(),
            staged_entries: Vec::new(),
            removed: Vec::new(),
            is_shape_due: false,
            wanted: shape.clone(),
            filling: None,
        };
        kept.edit(shape);
        kept.commit(0);
        kept
    }

    /// A partition that another release has kept, restored at the committed offset and the one where replay begins.
    pub fn recorded(
        log: Vec<(Vec<u8>, i64)>,
        table: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        committed: (i64, i64),
        shape: Arc<Shape>,
    ) -> Self {
        let mut kept = Self { log, table, committed, ..Self::new(shape.clone()) };
        kept.crash(shape);
        kept
    }

    fn record(&self, offset: i64) -> RawRecord<'_> {
        let (value, timestamp) = &self.log[usize::try_from(offset).unwrap()];
        RawRecord { key: None, value: Some(value), timestamp: *timestamp, offset }
    }

    pub fn end(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    /// A quote is written to the log and computed.
    pub fn quote(&mut self, entity: &str, second: i64, cents: i64) {
        self.quote_in(entity, second, cents, None);
    }

    /// The same of a quote that says its currency.
    pub fn quote_in(&mut self, entity: &str, second: i64, cents: i64, currency: Option<&str>) {
        let name = serde_json::to_string(entity).unwrap();
        let currency = currency.map(|code| format!(r#","currency":"{code}""#)).unwrap_or_default();
        let value = format!(
            r#"{{"entityname":{name},"currentstockprice":{cents}e-2,"lastupdatedate":{}{currency}}}"#,
            START + second
        );
        self.log.push((value.into_bytes(), (START + second) * 1000 - 200_000));
        self.begin();
        self.catch_up();
    }

    fn catch_up(&mut self) {
        while self.live.next_offset < self.end() {
            let (value, timestamp) = self.log[usize::try_from(self.live.next_offset).unwrap()].clone();
            let offset = self.live.next_offset;
            let record = RawRecord { key: None, value: Some(&value), timestamp, offset };
            self.live.has_ledger = self.has_ledger;
            self.judgement = match self.live.process(&record, 0) {
                Effect::Accepted(accepted) => {
                    let entries = accepted.entries.iter().map(|entry| (accepted.name.to_owned(), *entry));
                    self.staged_entries.extend(entries);
                    accepted.judgement.clone()
                }
                _ => Judgement::default(),
            };
        }
    }

    /// Reads at most so many records below `to` for a longer window.
    fn note(&self, backfill: &mut Backfill, to: i64, most: i64) {
        let first = || (0..to).find(|o| self.record(*o).timestamp >= backfill.since()).unwrap_or(to);
        let from = backfill.next_offset.unwrap_or_else(first);
        let end = to.min(from.saturating_add(most));
        (from..end).for_each(|offset| backfill.note(&self.record(offset)));
        backfill.next_offset = Some(end);
    }

    /// The spec changes between two transactions, and a longer window is filled at once.
    pub fn edit(&mut self, shape: Arc<Shape>) {
        self.begin_edit(shape);
        self.fill();
    }

    /// The spec changes between two transactions; the log is still to be read for a longer window.
    pub fn begin_edit(&mut self, shape: Arc<Shape>) {
        self.commit(0);
        self.wanted = shape;
        self.apply_rules();
    }

    /// Reads all of the log that is wanted for a longer window.
    pub fn fill(&mut self) {
        while self.is_filling() {
            self.read(i64::MAX);
        }
    }

    pub fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// Reads at most so many records for a longer window, which is taken between two transactions once all are read.
    pub fn read(&mut self, most: i64) {
        let Some((mut backfill, to)) = self.filling.take() else { return };
        self.note(&mut backfill, to, most);
        let is_read = backfill.next_offset == Some(to);
        self.filling = Some((backfill, to));
        if is_read {
            self.commit(0);
            self.apply_rules();
        }
    }

    /// Between two transactions, entities that are silent since before `log_start` are forgotten; gives how many.
    pub fn forget(&mut self, log_start: i64) -> usize {
        self.commit(0);
        let gone = self.live.forget_silent(log_start);
        self.is_shape_due |= !gone.is_empty();
        let count = gone.len();
        self.removed.extend(gone);
        count
    }

    fn apply_rules(&mut self) {
        if self.live.shape().is_some_and(|s| s.decides_as(&self.wanted)) {
            self.filling = None;
            self.live.end_fill();
            self.live.replace_tolerances(self.wanted.clone());
            self.is_shape_due = true;
            return;
        }
        let change = self.live.next_change(self.wanted.clone());
        let is_read = |(backfill, to): &(Backfill, i64)| backfill.next_offset == Some(*to);
        if let Some(filling @ (backfill, _)) = &self.filling
            && !is_read(filling)
            && self.wanted.longest() <= backfill.minutes()
            && self.live.lacks(&change)
        {
            return;
        }
        let read = self.filling.take().filter(is_read);
        match self.live.fill(&change, read.map(|(backfill, _)| backfill)) {
            Ok(backfill) => {
                self.removed.extend(self.live.apply_shape(change, &backfill, 0));
                self.is_shape_due = true;
            }
            Err(backfill) => self.filling = Some((backfill, self.live.next_offset)),
        }
    }

    fn put(
        staged: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) -> impl FnMut(&[u8], Option<&[u8]>) -> Result<(), Infallible> {
        |key, value| {
            assert!(value.is_none_or(|v| v.len() <= MAX_RECORD_BYTES), "{} bytes", value.unwrap().len());
            staged.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        }
    }

    fn begin(&mut self) {
        if std::mem::take(&mut self.is_shape_due) {
            let mut put = Self::put(&mut self.staged);
            checkpoint::write_removed(&self.removed, &mut put).unwrap();
            for removed in self.removed.drain(..) {
                let void = removed.orphan.map(|orphan| orphan.account.void(Reason::EntityRemoved));
                self.staged_entries.extend(void.map(|void| (removed.name.to_string(), void)));
            }
            checkpoint::write_shapes(&mut self.live, &mut put).unwrap();
        }
    }

    /// Checkpoints of `budget` bytes, and the transaction's end.
    pub fn commit(&mut self, budget: usize) {
        self.begin();
        let mut put = Self::put(&mut self.staged);
        checkpoint::write_due(&mut self.live, 0, 0, budget, &mut put).unwrap();
        checkpoint::write_said(&mut self.live, &mut put).unwrap();
        self.live.prune_history();
        drop(put);
        self.table.append(&mut self.staged);
        self.ledger.append(&mut self.staged_entries);
        self.committed = (self.live.next_offset, self.live.replay_from());
    }

    /// The worker ends in order.
    pub fn finish(&mut self) {
        self.begin();
        let mut put = Self::put(&mut self.staged);
        checkpoint::write_due(&mut self.live, 0, 0, usize::MAX, &mut put).unwrap();
        checkpoint::write_whole_shapes(&mut self.live, &mut put).unwrap();
        drop(put);
        self.commit(0);
    }

    /// What is not committed is lost, and computed again by `shape`.
    pub fn crash(&mut self, shape: Arc<Shape>) {
        self.staged.clear();
        self.staged_entries.clear();
        self.removed.clear();
        self.is_shape_due = false;
        self.filling = None;
        self.live = self.restore().0;
        self.live.has_ledger = self.has_ledger;
        self.begin_edit(shape);
        self.begin();
        self.catch_up();
    }

    /// The state at the committed offset, and how many shapes had the log read once more.
    pub fn restore(&self) -> (Partition, usize) {
        let mut reader = TableReader::default();
        for (key, value) in &self.table {
            reader.read(key, value.as_deref()).unwrap();
        }
        let goal = Goal { partition: 0, offset: self.committed.0, replay: self.committed.1, timestamp: None };
        let mut replay = Replay::prepare(&goal, &reader).unwrap();
        let mut backfilled = 0;
        let mut take_due = |replay: &mut Replay, offset: i64| {
            while let Some(change) = replay.due(offset) {
                let mut backfill = replay.partition.backfill(&change);
                if let Some(backfill) = &mut backfill {
                    backfilled += 1;
                    self.note(backfill, change.offset, i64::MAX);
                }
                replay.partition.apply_shape(change, &backfill.unwrap_or_default(), 0);
            }
        };
        for offset in goal.replay..goal.offset {
            take_due(&mut replay, offset);
            replay.advance(&self.record(offset));
        }
        take_due(&mut replay, i64::MAX);
        (replay.finish().unwrap(), backfilled)
    }

    /// A restore at what was committed gives what the worker has that never restarted.
    pub fn check(&self) {
        assert_eq!(self.live.next_offset, self.committed.0, "check between transactions");
        let (restored, _) = self.restore();
        assert_eq!(outlook(&restored), outlook(&self.live));
        let in_force = |p: &Partition| p.history.last().cloned();
        let (there, here) = (in_force(&restored), in_force(&self.live));
        assert_eq!(there.as_ref().map(|c| (c.epoch, &c.shape)), here.as_ref().map(|c| (c.epoch, &c.shape)));
        assert_eq!(restored.replay_from(), self.live.replay_from());
    }
}

fn outlook(partition: &Partition) -> std::collections::BTreeMap<String, Outlook> {
    let minutes: Vec<u32> = partition.shape().map(|s| s.minutes().collect()).unwrap_or_default();
    let of = |e: &stockwatch_core::Entity| {
        (
            e.value.clone(),
            e.born,
            e.accepted,
            (e.since, e.currency.clone()),
            e.samples().iter().map(|s| (s.time, s.price)).collect(),
            e.averages().map(|a| (a.sum, a.count)).collect(),
            e.primed(&minutes),
            e.said.clone(),
        )
    };
    partition.entities().map(|(name, entity)| (name.to_string(), of(entity))).collect()
}
