//! What the Deployment is made of, besides its owner.

use std::collections::{BTreeMap, BTreeSet};

use stockwatch_crds::v1alpha1::WorkerSpec;
use stockwatch_crds::{Kafka, StockWatch};

/// The workers as wanted.
#[derive(Debug, Clone)]
pub struct Worker<'a> {
    /// `None`: somebody else sets the count.
    pub replicas: Option<i32>,
    /// The worker's image.
    pub image: String,
    /// The operator's own pull secrets, for a StockWatch that names none.
    pub pull_secrets: &'a [String],
    /// What it connects to.
    pub kafka: &'a Kafka,
    /// Digest of how Kafka is reached, Secrets included: another one rolls the pods.
    pub connection: String,
    /// The Secrets of its source that may be mounted.
    pub sources: &'a BTreeSet<String>,
    /// The user's wishes for the pods.
    pub spec: &'a WorkerSpec,
}

impl Worker<'_> {
    /// The keys to mount of each Secret that `spec.kafka` names.
    pub fn secrets(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        secrets(self.kafka)
    }
}

/// The keys that `spec.kafka` needs of each Secret that it names.
pub(crate) fn secrets(kafka: &Kafka) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut secrets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    if let Some(tls) = &kafka.tls {
        if let Some(ca) = &tls.ca {
            secrets.entry(&ca.name).or_default().insert(&ca.key);
        }
        if let Some(client) = &tls.client {
            secrets.entry(client).or_default().extend(["tls.crt", "tls.key"]);
        }
    }
    if let Some(sasl) = &kafka.sasl {
        secrets.entry(&sasl.secret).or_default().extend(["username", "password"]);
    }
    secrets
}

/// `spec.worker`, or an empty one.
pub(crate) fn worker_spec(stockwatch: &StockWatch) -> WorkerSpec {
    stockwatch.spec.worker.clone().unwrap_or_default()
}
