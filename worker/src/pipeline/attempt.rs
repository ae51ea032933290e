//! One attempt to restore: committed offsets, what a dead owner left open, the tables, the replay.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset};
use stockwatch_core::checkpoint::TableReader;
use stockwatch_core::replay::{Plan, Replay};
use stockwatch_core::wire::{CommitMetadata, Committed, OffsetRecord};
use stockwatch_core::{Backfill, Partition, ShapeChange};

use super::reader::{CALL_TIMEOUT, Range, Reader};
use super::restore::{Clients, Context, RestoreError, raw_record};
use super::transaction::fence;

/// What a transaction left open for so long is taken for a dead process's.
const DEAD_AFTER: Duration = Duration::from_millis(500);
/// So long an open transaction may hold up a restore: the coordinator ends it within 20 s.
const OPEN_AT_MOST: Duration = Duration::from_secs(40);

/// An attempt, with what it works with.
pub(super) struct Session<'a> {
    pub(super) context: &'a Context,
    pub(super) clients: &'a Clients,
    pub(super) ticket: u64,
}

impl Session<'_> {
    /// The partitions at their committed offsets.
    pub(super) fn restore(&self, partitions: &[i32]) -> Result<Vec<Partition>, RestoreError> {
        let committed = self.stable_offsets(partitions)?;
        self.end_open_outputs(&committed)?;
        let mut tables = self.read_tables(partitions, &committed)?;
        let mut restoring = HashMap::new();
        let mut ranges = Vec::new();
        for &number in partitions {
            let table = tables.remove(&number).unwrap_or_default();
            let Plan { goal, first, .. } = self.plan(number, committed.get(&number), table.offset)?;
            restoring.insert(number, Replay::prepare(&goal, &table)?);
            ranges.push(Range { partition: number, from: first, to: goal.offset });
        }
        self.clients.committed.read(&self.context.raw, &ranges, |number, message| {
            self.check_wanted()?;
            let Some(replay) = restoring.get_mut(&number) else { return Ok(()) };
            let record = raw_record(message);
            while let Some(taken) = replay.due(record.offset) {
                self.reshape(replay, taken)?;
            }
            replay.advance(&record);
            self.context.metrics.replayed_records.inc();
            Ok(())
        })?;
        let mut restored = Vec::new();
        for &number in partitions {
            let Some(mut replay) = restoring.remove(&number) else { continue };
            // Whatever is recorded holds by the end, also where the group was set back.
            while let Some(taken) = replay.due(i64::MAX) {
                self.reshape(&mut replay, taken)?;
            }
            restored.push(replay.finish().map_err(|why| self.recreated(number, why))?);
            self.context.metrics.restores.inc();
        }
        Ok(restored)
    }

    fn check_wanted(&self) -> Result<(), RestoreError> {
        if self.context.is_cancelled(self.ticket) { Err(RestoreError::Cancelled) } else { Ok(()) }
    }

    /// The committed offsets, once no transaction that would move them is open.
    fn stable_offsets(&self, partitions: &[i32]) -> Result<HashMap<i32, Committed>, RestoreError> {
        // librdkafka asks again and again for offsets that are not stable, and ends with a time-out.
        let left = !self.dead_owners(partitions)?.is_empty();
        let patience = if left { DEAD_AFTER } else { CALL_TIMEOUT };
        let mut wait = OpenTransaction::new(self);
        loop {
            let unstable = |e: &KafkaError| match e.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnstableOffsetCommit) => true,
                Some(RDKafkaErrorCode::OperationTimedOut) => left,
                _ => false,
            };
            let list = match self.clients.committed.committed(&self.context.raw, partitions, patience) {
                Err(error) if unstable(&error) => {
                    wait.more(partitions)?;
                    continue;
                }
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {
                    return Err(RestoreError::Unstable);
                }
                other => other.map_err(RestoreError::Committed)?,
            };
            let mut offsets = HashMap::new();
            let mut open = Vec::new();
            for element in list.elements() {
                match element.error() {
                    Ok(()) => {}
                    Err(error) if unstable(&error) => open.push(element.partition()),
                    Err(error) => return Err(RestoreError::Committed(error)),
                }
                if let Offset::Offset(offset) = element.offset() {
                    offsets.insert(element.partition(), (offset, CommitMetadata::parse(element.metadata())));
                }
            }
            if open.is_empty() {
                return Ok(offsets);
            }
            wait.more(&open)?;
        }
    }

    /// Who committed last on these partitions, is not this process, and did not give them away. The last stable
    /// commit names its writer: whose else can an open transaction be?
    fn dead_owners(&self, partitions: &[i32]) -> Result<BTreeSet<String>, RestoreError> {
        let list = self.clients.uncommitted.committed(&self.context.raw, partitions, CALL_TIMEOUT);
        let list = list.map_err(RestoreError::Committed)?;
        let metadata = list.elements().into_iter().filter_map(|e| CommitMetadata::parse(e.metadata()));
        Ok(metadata.filter(|m| self.was_left(m)).map(|m| m.owner).collect())
    }

    fn was_left(&self, last: &CommitMetadata) -> bool {
        !last.released && last.owner != self.context.owner && last.is_of(&self.context.group)
    }

    /// Readers of the outputs wait for a transaction that a dead process left open, so it is ended now.
    fn end_open_outputs(&self, committed: &HashMap<i32, Committed>) -> Result<(), RestoreError> {
        for (&partition, (_, metadata)) in committed {
            if !metadata.as_ref().is_some_and(|m| self.was_left(m)) {
                continue;
            }
            let mut wait = OpenTransaction::new(self);
            for topic in &self.context.outputs {
                let output = partition % self.clients.uncommitted.partitions(topic)?;
                let (_, end) = self.clients.uncommitted.bounds(topic, output)?;
                while self.clients.committed.bounds(topic, output)?.1 < end {
                    wait.more(&[partition])?;
                }
            }
        }
        Ok(())
    }

    /// The tables, each read to the end that it had when it was looked at.
    fn read_tables(
        &self,
        partitions: &[i32],
        committed: &HashMap<i32, Committed>,
    ) -> Result<HashMap<i32, TableReader>, RestoreError> {
        let table = &self.context.table;
        let mut ranges = Vec::new();
        for &partition in partitions {
            let (from, to) = self.clients.uncommitted.bounds(table, partition)?;
            let mut wait = OpenTransaction::new(self);
            while from < to && self.clients.committed.bounds(table, partition)?.1 < to {
                wait.more(&[partition])?;
            }
            ranges.push(Range { partition, from, to });
        }
        tracing::debug!(?ranges, ?committed, "reading the storage table");
        let mut tables: HashMap<i32, TableReader> = HashMap::new();
        self.clients.committed.read(table, &ranges, |partition, message| {
            self.check_wanted()?;
            let Some(key) = message.key() else { return Ok(()) };
            Ok(tables.entry(partition).or_default().read(key, message.payload())?)
        })?;
        for (partition, foreign) in
            tables.iter().map(|(p, t)| (p, t.foreign)).filter(|(_, foreign)| *foreign > 0)
        {
            tracing::warn!(
                topic = table,
                partition,
                foreign,
                "records of another program in the storage table are left alone"
            );
        }
        Ok(tables)
    }

    /// Where to go; says what is odd about the way.
    fn plan(
        &self,
        partition: i32,
        committed: Option<&Committed>,
        recorded: Option<OffsetRecord>,
    ) -> Result<Plan, RestoreError> {
        let (low, high) = self.clients.uncommitted.bounds(&self.context.raw, partition)?;
        if let (None, Some(recorded)) = (committed, recorded) {
            let offset = recorded.offset;
            tracing::warn!(partition, offset, "the group has no offset: going by the table's");
        }
        let plan = Plan::new(partition, committed, recorded, (low, high));
        let plan = plan.map_err(|why| self.recreated(partition, why))?;
        if plan.gap > 0 {
            self.context.metrics.restore_gap_records.inc_by(plan.gap);
            tracing::warn!(
                partition,
                gap = plan.gap,
                first = low,
                "records that were to be replayed are gone from the raw topic"
            );
        }
        Ok(plan)
    }

    fn recreated(&self, partition: i32, why: String) -> RestoreError {
        RestoreError::Recreated {
            topic: self.context.raw.clone(),
            partition,
            why,
            group: self.context.group.clone(),
            table: self.context.table.clone(),
        }
    }

    fn reshape(&self, replay: &mut Replay, taken: ShapeChange) -> Result<(), RestoreError> {
        let mut older = Backfill::new();
        if replay.partition.backfill_since(&taken.shape, taken.epoch).is_some() {
            // The other reader is in the middle of its range.
            older = self.older(&self.context.open("read_committed")?, &replay.partition, &taken)?;
        }
        replay.partition.apply_shape(taken, &older, 0);
        Ok(())
    }

    /// The samples before the state's longest window that the shape's longest one holds.
    pub(super) fn older(
        &self,
        reader: &Reader,
        partition: &Partition,
        taken: &ShapeChange,
    ) -> Result<Backfill, RestoreError> {
        let mut older = Backfill::new();
        let Some(since) = partition.backfill_since(&taken.shape, taken.epoch) else { return Ok(older) };
        let raw = &self.context.raw;
        let number = partition.number;
        let from = reader.first_since(raw, number, since).map_err(|source| RestoreError::Bounds {
            topic: raw.clone(),
            partition: number,
            source,
        })?;
        let Some(from) = from else { return Ok(older) };
        reader.read(raw, &[Range { partition: number, from, to: taken.offset }], |_, message| {
            self.check_wanted()?;
            partition.note_backfill(&raw_record(message), &taken.shape, taken.epoch, &mut older);
            Ok(())
        })?;
        Ok(older)
    }
}

/// Waits for a transaction that hides what is to be read, and ends it if its process seems dead.
struct OpenTransaction<'a> {
    session: &'a Session<'a>,
    since: Instant,
    fenced: bool,
}

impl<'a> OpenTransaction<'a> {
    fn new(session: &'a Session<'a>) -> Self {
        Self { session, since: Instant::now(), fenced: false }
    }

    fn more(&mut self, partitions: &[i32]) -> Result<(), RestoreError> {
        self.session.check_wanted()?;
        if self.since.elapsed() > OPEN_AT_MOST {
            return Err(RestoreError::Open { partition: partitions.first().copied().unwrap_or_default() });
        }
        if self.since.elapsed() > DEAD_AFTER && !self.fenced {
            self.fenced = true;
            let Context { connection, kafka, .. } = self.session.context;
            for owner in self.session.dead_owners(partitions)? {
                tracing::warn!(owner, "aborting the transaction that a process left open");
                fence(connection, kafka, &owner).map_err(RestoreError::Connect)?;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
        Ok(())
    }
}
