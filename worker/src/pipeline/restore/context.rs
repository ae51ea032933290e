//! What restores share: names, settings and two clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::error::RestoreError;
use crate::kafka::log_reader::{CALL_TIMEOUT, Isolation, LogReader, Patience};
use crate::kafka::{Connection, KafkaContext};
use crate::metrics::Metrics;

/// Names and settings.
pub(in crate::pipeline) struct Context {
    pub(in crate::pipeline) connection: Connection,
    pub(in crate::pipeline) kafka: KafkaContext,
    pub(in crate::pipeline) group: String,
    /// This process, as commits name it.
    pub(in crate::pipeline) owner: String,
    pub(in crate::pipeline) raw: String,
    pub(in crate::pipeline) table: String,
    /// The topics that records of a raw partition go to, the table aside.
    pub(in crate::pipeline) outputs: [String; 4],
    pub(in crate::pipeline) metrics: Arc<Metrics>,
    pub(in crate::pipeline) stop: Arc<AtomicBool>,
}

impl Context {
    pub(super) fn is_cancelled(&self, cancelled: &AtomicBool) -> bool {
        cancelled.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

/// One reader for each isolation level: what is committed, and how far the log goes.
pub(super) struct Clients {
    pub(super) committed: LogReader,
    pub(super) uncommitted: LogReader,
}

impl Clients {
    pub(super) fn open(context: &Context) -> Result<Self, RestoreError> {
        let open = |isolation| {
            let Context { connection, kafka, group, .. } = context;
            LogReader::open(connection, kafka, group, isolation).map_err(RestoreError::Connect)
        };
        Ok(Self { committed: open(Isolation::Committed)?, uncommitted: open(Isolation::Uncommitted)? })
    }

    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.committed.set_patience(patience);
        self.uncommitted.set_patience(patience);
    }

    /// Makes the connections that a restore needs, to leaders and to the group's coordinator; a failure shows when they
    /// are used.
    pub(super) fn warm(&self, Context { raw, table, .. }: &Context) {
        thread::scope(|scope| {
            for reader in [&self.committed, &self.uncommitted] {
                scope.spawn(|| {
                    let known = [table, raw].into_iter().all(|topic| reader.partitions(topic).is_ok());
                    let _ = known && reader.committed_offsets(raw, &[0], CALL_TIMEOUT).is_ok();
                });
            }
        });
    }
}
