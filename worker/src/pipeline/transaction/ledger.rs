//! The topic of the paper accounts, which comes and goes while others are written.

use stockwatch_crds::Topic;

use super::Transactions;
use crate::pipeline::error::SessionError;
use crate::pipeline::topology::Topology;
use crate::topics::RawPartitions;

impl Transactions<'_> {
    /// Whether accounts can be kept: their topic is there.
    pub(in crate::pipeline) fn has_ledger(&self) -> bool {
        self.topology.ledger.is_some()
    }

    /// Whether brokers were asked for the ledger that accounts need, and it could not be had.
    pub(in crate::pipeline) fn is_ledger_missing(&self) -> bool {
        self.ledger.is_missing()
    }

    /// Accounts need this topic; `None`: there are none. No transaction is open.
    pub(in crate::pipeline) fn want_ledger(&mut self, wanted: Option<&Topic>) {
        let is_there = |name: &str| self.topology.ledger.as_ref().is_some_and(|ledger| ledger.name == name);
        if wanted.is_none_or(|wanted| !is_there(&wanted.name)) {
            self.topology.ledger = None;
        }
        self.ledger.want(wanted.cloned());
    }

    /// Looks for a ledger that is missing; returns all topics once it is there.
    pub(in crate::pipeline) fn look_for_ledger(&mut self) -> Option<Topology> {
        if self.has_ledger() {
            return None;
        }
        self.ledger.turn(&self.connector, RawPartitions(self.topology.raw_partitions))
    }

    /// Goes over to topics that have a ledger. No transaction is open.
    pub(in crate::pipeline) fn take_ledger(&mut self, topology: Topology) -> Result<(), SessionError> {
        self.topology = topology;
        if self.topology.batch_bytes() < self.producers.batch_bytes() {
            self.exchange_producers()?;
        } else if let Some(ledger) = &self.topology.ledger {
            self.producers.learn(&ledger.name);
        }
        Ok(())
    }
}
