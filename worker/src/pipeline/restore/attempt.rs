//! One attempt to restore one partition: its committed offset, what a dead owner left open, its table, the replay.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rdkafka::Offset;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{BorrowedMessage, Message};
use stockwatch_core::checkpoint::{Corrupt, TableReader};
use stockwatch_core::replay::{Plan, Replay};
use stockwatch_core::wire::{CommitMetadata, Committed, OffsetRecord};
use stockwatch_core::{Backfill, Partition};

use super::context::{Clients, Context};
use super::error::{AttemptEnd, RestoreError};
use super::open::{DEAD_AFTER, OpenAction, OpenTransaction};
use crate::kafka::log_reader::{CALL_TIMEOUT, Range, ReadError};
use crate::pipeline::producers::fence;
use crate::pipeline::record::raw_record;
use crate::rests::{self, Rests};

/// An attempt, with what it works with.
pub(super) struct Attempt<'a> {
    pub(super) context: &'a Context,
    pub(super) clients: &'a Clients,
    pub(super) number: i32,
    pub(super) cancelled: &'a AtomicBool,
}

impl Attempt<'_> {
    /// Returns the partition at its committed offset, and where its raw log begins.
    pub(super) fn restore(&self, open: &mut OpenTransaction) -> Result<(Partition, i64), AttemptEnd> {
        let committed = self.committed(open)?;
        self.end_open_outputs(committed.as_ref(), open)?;
        let table = self.read_table(open)?;
        let (Plan { goal, first, .. }, log_start) = self.plan(committed.as_ref(), table.offset)?;
        let mut replay = Replay::prepare(&goal, &table).map_err(|e| self.corrupt(e))?;
        drop(table);
        let mut from = first;
        // Where the group's offset was set back, shapes recorded at later offsets count as well: the last is in force.
        while let Some(taken) = replay.due(i64::MAX) {
            let to = taken.offset.min(goal.offset);
            self.replay(&mut replay, from, to)?;
            from = from.max(to);
            let mut older = replay.partition.backfill(&taken);
            if let Some(older) = &mut older {
                self.read_older(older, taken.offset, i64::MAX, None)?;
            }
            let older = older.unwrap_or_default();
            replay.partition.apply_shape(taken, &older, 0);
        }
        self.replay(&mut replay, from, goal.offset)?;
        let restored = replay.finish().map_err(|why| self.recreated(why))?;
        self.context.metrics.restores.inc();
        Ok((restored, log_start))
    }

    fn replay(&self, replay: &mut Replay, from: i64, to: i64) -> Result<(), ReadError> {
        self.read(&self.context.raw, from, to, |message| {
            replay.advance(&raw_record(message));
            self.context.metrics.replayed_records.inc();
            Ok(())
        })
    }

    /// Reads committed records of this partition of a topic.
    fn read<E: From<ReadError>>(
        &self,
        topic: &str,
        from: i64,
        to: i64,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let range = [Range { partition: self.number, from, to }];
        let cancelled = || self.context.is_cancelled(self.cancelled);
        self.clients.committed.read(topic, &range, cancelled, |_, message| each(message))
    }

    /// What the group committed, once no transaction that would move it is open.
    fn committed(&self, open: &mut OpenTransaction) -> Result<Option<Committed>, AttemptEnd> {
        // librdkafka asks again and again for offsets that are not stable, and ends with a time-out.
        let left = self.dead_owner()?.is_some();
        let patience = if left { DEAD_AFTER } else { CALL_TIMEOUT };
        let asked = Instant::now();
        let list = self.clients.committed.committed_offsets(&self.context.raw, &[self.number], patience);
        let answer = list.and_then(|list| {
            let Some(element) = list.find_partition(&self.context.raw, self.number) else { return Ok(None) };
            element.error()?;
            let metadata = CommitMetadata::parse(element.metadata());
            Ok(match element.offset() {
                Offset::Offset(offset) => Some((offset, metadata)),
                _ => None,
            })
        });
        answer.map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnstableOffsetCommit) => self.found_open(open, asked),
            Some(RDKafkaErrorCode::OperationTimedOut) if left => self.found_open(open, asked),
            Some(RDKafkaErrorCode::OperationTimedOut) => RestoreError::Unstable.into(),
            _ => RestoreError::Committed(error).into(),
        })
    }

    /// Reads end before an open transaction: fences its owner if that seems dead. Returns how the attempt ends.
    fn found_open(&self, open: &mut OpenTransaction, asked: Instant) -> AttemptEnd {
        match open.found(asked, Instant::now()) {
            OpenAction::Wait => AttemptEnd::OpenTransaction,
            OpenAction::GiveUp => RestoreError::Open.into(),
            OpenAction::Fence => {
                self.fence_owner().map_or_else(AttemptEnd::from, |()| AttemptEnd::OpenTransaction)
            }
        }
    }

    fn fence_owner(&self) -> Result<(), RestoreError> {
        let Some(owner) = self.dead_owner()? else { return Ok(()) };
        tracing::warn!(owner, "aborting the transaction that a process left open");
        let Context { connection, kafka, raw, stop, .. } = self.context;
        fence(connection, kafka, &owner, raw, stop).map_err(RestoreError::Connect)
    }

    /// Who committed last on the partition, if it is not this process and did not give the partition away: the last
    /// stable commit names the owner at that time, so an open transaction is that owner's.
    fn dead_owner(&self) -> Result<Option<String>, RestoreError> {
        let list =
            self.clients.uncommitted.committed_offsets(&self.context.raw, &[self.number], CALL_TIMEOUT);
        let list = list.map_err(RestoreError::Committed)?;
        let element = list.find_partition(&self.context.raw, self.number);
        let last = element.and_then(|e| CommitMetadata::parse(e.metadata()));
        Ok(last.filter(|m| self.was_left(m)).map(|m| m.owner))
    }

    fn was_left(&self, last: &CommitMetadata) -> bool {
        !last.released && last.owner != self.context.owner && last.is_of(&self.context.group)
    }

    /// Readers of the outputs wait for a transaction that a dead owner left open, so it is ended now.
    fn end_open_outputs(
        &self,
        committed: Option<&Committed>,
        open: &mut OpenTransaction,
    ) -> Result<(), AttemptEnd> {
        let last = committed.and_then(|(_, metadata)| metadata.as_ref());
        if !last.is_some_and(|m| self.was_left(m)) {
            return Ok(());
        }
        let Clients { committed, uncommitted } = self.clients;
        let asked = Instant::now();
        let outputs = match open.outputs.take() {
            Some(outputs) => outputs,
            None => {
                let look = |topic: &String| {
                    let partition = self.number % uncommitted.partitions(topic)?;
                    let (_, end) = uncommitted.bounds(topic, partition)?;
                    Ok::<_, ReadError>((topic.clone(), partition, end))
                };
                self.context.outputs.iter().map(look).collect::<Result<_, ReadError>>()?
            }
        };
        for (topic, partition, end) in open.outputs.insert(outputs) {
            if committed.bounds(topic, *partition)?.1 < *end {
                return Err(self.found_open(open, asked));
            }
        }
        Ok(())
    }

    /// The partition's table, read to the end that it has now.
    fn read_table(&self, open: &mut OpenTransaction) -> Result<TableReader, AttemptEnd> {
        let name = &self.context.table;
        let asked = Instant::now();
        let (from, to) = self.clients.uncommitted.bounds(name, self.number)?;
        if from < to && self.clients.committed.bounds(name, self.number)?.1 < to {
            return Err(self.found_open(open, asked));
        }
        tracing::debug!(partition = self.number, from, to, "reading the storage table");
        let mut table = TableReader::default();
        // A record counts only while none follows of the same key: the cure of an unreadable one is to replace it.
        let mut unreadable: BTreeMap<Vec<u8>, Corrupt> = BTreeMap::new();
        self.read(name, from, to, |message| {
            let Some(key) = message.key() else { return Ok(()) };
            let read = table.read(key, message.payload());
            if !unreadable.is_empty() {
                unreadable.remove(key);
            }
            if let (Err(corrupt), Some(_)) = (read, message.payload()) {
                unreadable.insert(key.to_vec(), corrupt);
            }
            Ok::<_, ReadError>(())
        })?;
        if let Some((_, corrupt)) = unreadable.pop_first() {
            return Err(self.corrupt(corrupt).into());
        }
        if table.foreign > 0 {
            tracing::warn!(
                topic = name,
                partition = self.number,
                foreign = table.foreign,
                "records of another program in the storage table are left alone"
            );
        }
        Ok(table)
    }

    /// Where the partition's raw log begins.
    pub(super) fn log_start(&self) -> Result<i64, AttemptEnd> {
        Ok(self.clients.uncommitted.bounds(&self.context.raw, self.number)?.0)
    }

    /// Returns the offsets to replay and where the raw log begins; logs what is missing.
    fn plan(
        &self,
        committed: Option<&Committed>,
        recorded: Option<OffsetRecord>,
    ) -> Result<(Plan, i64), AttemptEnd> {
        let partition = self.number;
        let (low, high) = self.clients.uncommitted.bounds(&self.context.raw, partition)?;
        if let (None, Some(recorded)) = (committed, recorded) {
            let offset = recorded.offset;
            tracing::warn!(partition, offset, "the group has no offset: going by the table's");
        }
        let plan = Plan::new(partition, committed, recorded, (low, high));
        let plan = plan.map_err(|why| self.recreated(why))?;
        if plan.gap > 0 {
            self.context.metrics.restore_gap_records.inc_by(plan.gap);
            tracing::warn!(
                partition,
                gap = plan.gap,
                first = low,
                "records that were to be replayed are gone from the raw topic"
            );
        }
        Ok((plan, low))
    }

    /// Reads the log for a longer window up to the offset `to`, at most so many records; returns whether that was all.
    /// `rests`: others compute meanwhile.
    pub(super) fn read_older(
        &self,
        older: &mut Backfill,
        to: i64,
        most: i64,
        rests: Option<&Rests>,
    ) -> Result<bool, AttemptEnd> {
        let raw = &self.context.raw;
        let from = match older.next_offset {
            Some(next) => next,
            None => self.clients.committed.first_since(raw, self.number, older.since())?.unwrap_or(to),
        };
        let end = to.min(from.saturating_add(most));
        let mut since_rest = 0;
        self.read(raw, from, end, |message| {
            older.note(&raw_record(message));
            since_rest += 1;
            if let Some(rests) = rests.filter(|_| since_rest >= rests::RECORDS) {
                since_rest = 0;
                rests.rest();
            }
            Ok::<_, ReadError>(())
        })?;
        older.next_offset = Some(end);
        Ok(end >= to)
    }

    fn corrupt(&self, source: Corrupt) -> RestoreError {
        RestoreError::Corrupt { table: self.context.table.clone(), partition: self.number, source }
    }

    fn recreated(&self, why: String) -> RestoreError {
        RestoreError::Recreated {
            topic: self.context.raw.clone(),
            partition: self.number,
            why,
            group: self.context.group.clone(),
            table: self.context.table.clone(),
        }
    }
}
