//! The ledger topic: looked for beside the loop, which raises alarms without it.

use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use stockwatch_crds::{Backoff, Topic};

use super::connector::Connector;
use super::settings::Settings;
use super::topology::{Topology, TopologyError};
use crate::topics::{self, RawPartitions};

/// Between two looks for a ledger that is missing.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// So many looks may fail before it counts as missing.
const MOST_FAILURES: u32 = 3;
/// A ledger that brokers do not let this user write is left alone for so long: each try costs a transaction.
const AFTER_REFUSAL: Duration = Duration::from_secs(600);

/// The ledger that accounts need, and the look for it that goes on.
#[derive(Debug)]
pub(super) struct LedgerSearch {
    wanted: Option<Topic>,
    looking: Option<Receiver<Result<Topology, TopologyError>>>,
    /// Looks in a row that did not find it, or failed.
    misses: u32,
    /// Brokers have said that it is not there.
    is_absent: bool,
    /// Not looked for before.
    not_before: Instant,
}

impl LedgerSearch {
    /// A search for `wanted`; `None`: no account needs one.
    pub(super) fn new(wanted: Option<Topic>) -> Self {
        Self { wanted, looking: None, misses: 0, is_absent: false, not_before: Instant::now() }
    }

    /// Returns the topic to ask brokers for; `None`: no account needs it, or it is left alone for now.
    pub(super) fn wanted(&self) -> Option<&Topic> {
        self.wanted.as_ref().filter(|_| !self.is_left_alone())
    }

    fn is_left_alone(&self) -> bool {
        self.misses == 0 && self.not_before > Instant::now()
    }

    /// Brokers were asked for it and do not have it.
    pub(super) fn note_absent(&mut self) {
        self.is_absent = self.wanted.is_some();
    }

    /// Whether it was looked for in vain, or is left alone.
    pub(super) fn is_missing(&self) -> bool {
        self.is_absent || self.is_left_alone() || self.misses >= MOST_FAILURES
    }

    /// Accounts need this topic from now on; `None`: there are none any more.
    pub(super) fn want(&mut self, wanted: Option<Topic>) {
        if self.wanted != wanted {
            *self = Self::new(wanted);
        }
    }

    /// Leaves the ledger alone for a while: brokers do not let this user write it.
    pub(super) fn refused(&mut self) {
        tracing::warn!(
            topic = self.wanted.as_ref().map(|topic| &*topic.name),
            "no permission to write the ledger: alarms go on without paper accounts; allow WRITE on the topic"
        );
        *self = Self { not_before: Instant::now() + AFTER_REFUSAL, ..Self::new(self.wanted.take()) };
    }

    /// Looks for the ledger on a thread of its own; returns all topics once it is there. `raw` is what a new one has as
    /// many partitions as.
    pub(super) fn turn(&mut self, connector: &Connector<'_>, raw: RawPartitions) -> Option<Topology> {
        let found = match self.looking.as_ref().map(Receiver::try_recv) {
            None if self.not_before <= Instant::now() => {
                self.looking = self.wanted.as_ref().map(|ledger| look(connector, ledger, raw));
                return None;
            }
            None | Some(Err(TryRecvError::Empty)) => return None,
            Some(found) => found,
        };
        self.looking = None;
        match found {
            Ok(Ok(topology)) if topology.ledger.is_some() => {
                (self.misses, self.is_absent) = (0, false);
                return Some(topology);
            }
            Ok(Ok(_)) => self.is_absent = true,
            Ok(Err(error)) => tracing::warn!(%error, "the ledger cannot be looked for"),
            Err(_) => {}
        }
        if self.misses == 0 && self.is_absent {
            tracing::warn!(
                topic = self.wanted.as_ref().map(|topic| &*topic.name),
                "the ledger is missing: alarms go on without paper accounts until it is there"
            );
        }
        self.misses = self.misses.saturating_add(1);
        self.not_before = Instant::now() + RETRY.after(self.misses, fastrand::f64());
        None
    }
}

/// Asks for all topics, the ledger among them, which is created first where nobody else does that.
fn look(
    connector: &Connector<'_>,
    ledger: &Topic,
    raw: RawPartitions,
) -> Receiver<Result<Topology, TopologyError>> {
    let (found, looking) = mpsc::channel();
    let Settings { connection, stop, create_topics, .. } = connector.settings;
    let (connection, stop, creates) = (connection.clone(), stop.clone(), *create_topics);
    let (kafka, topics, ledger) = (connector.kafka.clone(), connector.topics.clone(), ledger.clone());
    let looked = thread::Builder::new().name("ledger".into()).spawn(move || {
        if creates && let Err(error) = topics::ensure_ledger(&connection, &ledger, raw) {
            tracing::warn!(%error, "the ledger cannot be created");
        }
        let topology = Topology::discover(&connection, &kafka, &topics, Some(&ledger), &stop);
        // Nobody waits for it any more once another ledger is wanted, or none.
        let _ = found.send(topology);
    });
    if let Err(error) = looked {
        tracing::warn!(%error, "no thread to look for the ledger");
    }
    looking
}
