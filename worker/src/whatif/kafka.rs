//! The raw topic and the alarms, read with assigned partitions: in no group, and without a write.

use rdkafka::Offset;
use stockwatch_core::wire::RawRecord;

use super::budget::Budget;
use super::study::{MARGIN, RawLog};
use super::written::Written;
use crate::kafka::log_reader::{CALL_TIMEOUT, Isolation, LogReader, Range, ReadError};
use crate::kafka::{Connection, KafkaContext};
use crate::pipeline::record::raw_record;

/// The topics of one StockWatch.
pub(super) struct Topics<'a> {
    /// Of committed transactions.
    committed: LogReader,
    /// How far logs and offsets go.
    uncommitted: LogReader,
    raw: &'a str,
    alarms: &'a str,
    budget: Budget,
}

/// Why reading stopped.
enum Stop {
    Read(ReadError),
    Memory,
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl<'a> Topics<'a> {
    /// Connects lazily; `group` is only asked for its offsets.
    pub(super) fn open(
        connection: &Connection,
        group: &str,
        (raw, alarms): (&'a str, &'a str),
        budget: Budget,
    ) -> rdkafka::error::KafkaResult<Self> {
        let context = KafkaContext::default();
        let open = |isolation| LogReader::open(connection, &context, group, isolation);
        Ok(Self {
            committed: open(Isolation::Committed)?,
            uncommitted: open(Isolation::Uncommitted)?,
            raw,
            alarms,
            budget,
        })
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// How many partitions raw records and alarms have.
    pub(super) fn partitions(&self) -> Result<(i32, i32), ReadError> {
        Ok((self.committed.partitions(self.raw)?, self.committed.partitions(self.alarms)?))
    }

    /// The offset up to which workers have judged a raw partition, if that is known.
    pub(super) fn judged_to(&self, partition: i32) -> Option<i64> {
        let answer = self.uncommitted.committed_offsets(self.raw, &[partition], CALL_TIMEOUT);
        let list =
            answer.inspect_err(|error| tracing::warn!(%error, partition, "the group's offset is not known"));
        match list.ok()?.find_partition(self.raw, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// The alarms of an output partition that may be of raw records stamped `since` (ms) or later; `None`: memory is
    /// used up.
    pub(super) fn written(&self, partition: i32, since: i64) -> Result<Option<Written>, ReadError> {
        let mut written = Written::new(self.raw);
        // What was committed a moment ago may still look open to others: it is waited for.
        let (_, end) = self.uncommitted.bounds(self.alarms, partition)?;
        let from = self.committed.first_since(self.alarms, partition, since.saturating_sub(MARGIN))?;
        let mut take = |to: i64| {
            self.records(self.alarms, Range { partition, from: from.unwrap_or(to), to }, |record| {
                if let Some(value) = record.value {
                    written.add(value);
                }
            })
        };
        let is_whole = match take(end) {
            Err(ReadError::Stalled { position, .. }) => {
                tracing::warn!(
                    partition,
                    position,
                    "alarms of a transaction that stays open are not compared"
                );
                true
            }
            done => done?,
        };
        Ok(is_whole.then_some(written))
    }

    fn records(
        &self,
        topic: &str,
        range: Range,
        mut each: impl FnMut(&RawRecord<'_>),
    ) -> Result<bool, ReadError> {
        let (mut since_look, every) = (0, self.budget.look_every());
        let read = self.committed.read(
            topic,
            &[range],
            || false,
            |_, message| {
                since_look += 1;
                if since_look >= every {
                    since_look = 0;
                    if !self.budget.allows_more() {
                        return Err(Stop::Memory);
                    }
                }
                each(&raw_record(message));
                Ok(())
            },
        );
        match read {
            Ok(()) => Ok(true),
            Err(Stop::Memory) => Ok(false),
            Err(Stop::Read(error)) => Err(error),
        }
    }
}

impl RawLog for Topics<'_> {
    type Error = ReadError;

    fn bounds(&mut self, partition: i32) -> Result<(i64, i64), ReadError> {
        self.committed.bounds(self.raw, partition)
    }

    fn first_since(&mut self, partition: i32, timestamp: i64) -> Result<Option<i64>, ReadError> {
        self.committed.first_since(self.raw, partition, timestamp)
    }

    fn read(
        &mut self,
        partition: i32,
        from: i64,
        to: i64,
        each: impl FnMut(&RawRecord<'_>),
    ) -> Result<bool, ReadError> {
        self.records(self.raw, Range { partition, from, to }, each)
    }
}
