//! With whom, as whom and for which topics the clients of a session are made.

use stockwatch_crds::{Topic, Topics};

use super::settings::Settings;
use super::topology::{Topology, TopologyError};
use crate::kafka::KafkaContext;

/// What each client of a session is made with.
pub(super) struct Connector<'a> {
    pub(super) settings: &'a Settings,
    /// Takes what librdkafka says.
    pub(super) kafka: KafkaContext,
    /// `<group>.<pod name>`.
    pub(super) owner: String,
    pub(super) topics: Topics,
}

impl Connector<'_> {
    /// The raw topic's name.
    pub(super) fn raw(&self) -> &str {
        &self.topics.raw_input.name
    }

    /// Asks the brokers for the topics, and for the ledger if there is to be one.
    pub(super) fn discover(&self, ledger: Option<&Topic>) -> Result<Topology, TopologyError> {
        let Settings { connection, stop, .. } = self.settings;
        Topology::discover(connection, &self.kafka, &self.topics, ledger, stop)
    }
}
