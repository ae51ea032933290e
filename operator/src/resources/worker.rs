//! What the Deployment is made of, besides its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use stockwatch_crds::v1alpha1::WorkerSpec;
use stockwatch_crds::{Kafka, StockWatch, Username};

/// The workers as wanted.
#[derive(Debug, Clone)]
pub struct Worker<'a> {
    /// `None`: somebody else sets the count.
    pub replicas: Option<i32>,
    /// The worker's image.
    pub image: String,
    /// The operator's own pull secrets, for a StockWatch that names none.
    pub pull_secrets: &'a [String],
    /// The operator's own pull policy, for a StockWatch that names none; `None`: Kubernetes' default.
    pub pull_policy: Option<&'a str>,
    /// The address that it listens on.
    pub listen: IpAddr,
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
    /// What is mounted of each Secret that `spec.kafka` names.
    pub fn secrets(&self) -> BTreeMap<&str, BTreeSet<KeyChoice<'_>>> {
        secrets(self.kafka)
    }

    /// What the StockWatch, and nobody else, has to say about the pods. Their count replaces none.
    pub(super) fn wishes(&self) -> impl Serialize {
        (WorkerSpec { replicas: None, ..self.spec.clone() }, self.secrets(), self.sources)
    }
}

/// Keys of a Secret that belong together, in the order in which they are tried: the first that are all there count.
pub(crate) type KeyChoice<'a> = Vec<Vec<&'a str>>;

/// What `spec.kafka` needs of each Secret that it names.
pub(crate) fn secrets(kafka: &Kafka) -> BTreeMap<&str, BTreeSet<KeyChoice<'_>>> {
    let mut secrets: BTreeMap<&str, BTreeSet<KeyChoice<'_>>> = BTreeMap::new();
    let mut need = |secret, need| secrets.entry(secret).or_default().insert(need);
    if let Some(tls) = &kafka.tls {
        if let Some(ca) = &tls.ca {
            need(&*ca.name, one_of(&ca.keys));
        }
        if let Some(client) = &tls.client {
            need(
                &*client.name,
                client.pairs.iter().map(|pair| vec![&*pair.certificate, &*pair.key]).collect(),
            );
        }
    }
    if let Some(sasl) = &kafka.sasl {
        let user = match &sasl.username {
            Username::Key(key) => Some(&**key),
            Username::Given(_) => None,
        };
        let keys: Vec<&str> = user.into_iter().chain([&*sasl.password.key]).collect();
        let mut ways = vec![keys];
        ways.extend(sasl.file.map(|file| vec![file.key()]));
        need(&*sasl.password.name, ways);
        if let Some(ca) = sasl.oauth.as_ref().and_then(|oauth| oauth.ca.as_ref()) {
            need(&*ca.name, one_of(&ca.keys));
        }
    }
    secrets
}

/// Keys that are tried one after another.
fn one_of(keys: &[String]) -> KeyChoice<'_> {
    keys.iter().map(|key| vec![&**key]).collect()
}

/// Whether its workers have the operator's image, whatever a webhook makes of that name.
pub(crate) fn has_default_image(stockwatch: &StockWatch) -> bool {
    stockwatch.spec.worker.as_ref().is_none_or(|worker| worker.image.is_none())
}

/// `spec.worker`, or an empty one.
pub(crate) fn worker_spec(stockwatch: &StockWatch) -> WorkerSpec {
    stockwatch.spec.worker.clone().unwrap_or_default()
}
