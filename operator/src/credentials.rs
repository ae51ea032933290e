//! How a StockWatch reaches Kafka: its addresses, and its Secrets as they were read last.
//!
//! A Secret is read by name, never listed or watched, and used only if its label says that a StockWatch may: else
//! whoever may create a StockWatch could send any Secret of the namespace to a broker of theirs.

mod looks;
mod problem;
mod read;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use sha2::{Digest, Sha256};
use stockwatch_crds::{Kafka, Source};
use tokio::time::Instant;

pub use looks::{Mountable, PodSecrets};
pub use problem::{ReadError, SecretProblem};
pub use read::SecretAccess;

use self::looks::{AGAIN, AGAIN_AFTER_PROBLEM, AT_SOURCES, IN_PODS, Looks};
use crate::key::Key;
use crate::status::Reason;
use crate::topics::Connection;

/// Kafka refused them: they may have been rotated. Not more often than this.
const AGAIN_AFTER_REFUSAL: Duration = Duration::from_secs(10);

/// How Kafka is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// For the operator's own clients.
    pub connection: Connection,
    /// For the pod template: another one rolls the pods.
    pub digest: String,
}

/// What is known of a StockWatch's access.
#[derive(Debug, Clone)]
pub struct Known {
    /// The newest that could be made of what the spec says now.
    pub access: Option<Access>,
    /// Why it is not what the Secrets say now.
    pub problem: Option<SecretProblem>,
    /// When the Secrets are to be read again; `None`: there are none.
    pub again: Option<Instant>,
}

/// The Secrets of all StockWatches.
pub struct Credentials {
    client: Client,
    access: SecretAccess,
    entries: Mutex<HashMap<Key, Entry>>,
    pods: Looks,
    sources: Looks,
}

struct Entry {
    kafka: Kafka,
    known: Known,
    read: Instant,
}

impl Credentials {
    /// Reads through this client; `access` is for the sentence that says how to allow it.
    pub fn new(client: Client, access: SecretAccess) -> Self {
        let (pods, sources) = (Looks::new(IN_PODS), Looks::new(AT_SOURCES));
        Self { client, access, entries: Mutex::default(), pods, sources }
    }

    /// How the StockWatch reaches Kafka; reads its Secrets if they are due. `refused`: Kafka refused them.
    pub async fn of(&self, key: &Key, kafka: &Kafka, refused: bool) -> Result<Known, ReadError> {
        let now = Instant::now();
        let last = self.last(key, kafka).map(|(mut known, read)| {
            if refused {
                known.again = known.again.map(|at| at.min(read + AGAIN_AFTER_REFUSAL));
            }
            known
        });
        if let Some(known) = last.as_ref().filter(|known| known.again.is_none_or(|at| now < at)) {
            return Ok(known.clone());
        }
        let good = last.and_then(|known| known.access);
        let material = match read::material(&self.client, &self.access, key, kafka).await {
            Ok(material) => material,
            // What was read last is most likely what is there.
            Err(error) if good.is_some() => {
                tracing::warn!(stockwatch = %key, %error, "Secrets are not read anew");
                let known = Known { access: good, problem: None, again: Some(now + AGAIN_AFTER_PROBLEM) };
                return Ok(self.keep(key, kafka, known, now));
            }
            Err(error) => return Err(error),
        };
        let made = material.and_then(|material| {
            let connection = material.connection(kafka).map_err(|error| SecretProblem {
                reason: Reason::SecretInvalid,
                message: error.to_string(),
            })?;
            Ok(Access { connection, digest: digest(kafka, &material.salted) })
        });
        let secrets = !crate::resources::secrets(kafka).is_empty();
        let known = match made {
            Ok(access) => {
                let again = secrets.then(|| now + AGAIN.mul_f64(1.0 + fastrand::f64()));
                Known { access: Some(access), problem: None, again }
            }
            Err(problem) => {
                Known { access: good, problem: Some(problem), again: Some(now + AGAIN_AFTER_PROBLEM) }
            }
        };
        Ok(self.keep(key, kafka, known, now))
    }

    /// Whether the pods may be given the Secrets that `spec.worker` names; looks at those when that is due.
    pub async fn of_pods(&self, key: &Key, names: &BTreeSet<&str>) -> Result<PodSecrets, ReadError> {
        Ok(self.pods.of(&self.client, &self.access, key, names).await?.of_pods())
    }

    /// Which of the Secrets that a source names may be mounted; looks at those when that is due.
    ///
    /// # Errors
    /// The API server did not answer, and nothing is known from before.
    pub async fn of_source(&self, key: &Key, source: &Source) -> Result<Mountable, ReadError> {
        Ok(self.sources.of(&self.client, &self.access, key, &source.secrets()).await?.of_source())
    }

    /// The access that worked out last, whatever became of the Secrets since.
    pub fn last_good(&self, key: &Key) -> Option<Access> {
        self.lock().get(key)?.known.access.clone()
    }

    /// The StockWatch is gone.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
        self.pods.forget(key);
        self.sources.forget(key);
    }

    fn last(&self, key: &Key, kafka: &Kafka) -> Option<(Known, Instant)> {
        let entries = self.lock();
        let entry = entries.get(key)?;
        same_access(&entry.kafka, kafka).then(|| (entry.known.clone(), entry.read))
    }

    fn keep(&self, key: &Key, kafka: &Kafka, known: Known, read: Instant) -> Known {
        let entry = Entry { kafka: kafka.clone(), known: known.clone(), read };
        self.lock().insert(key.clone(), entry);
        known
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same_access(a: &Kafka, b: &Kafka) -> bool {
    a.bootstrap_servers == b.bootstrap_servers && a.tls == b.tls && a.sasl == b.sasl
}

/// Of all that a worker reads once, when it starts.
fn digest(kafka: &Kafka, salted: &[u8]) -> String {
    let Kafka { bootstrap_servers, tls, sasl, .. } = kafka;
    let mut digest = Sha256::new();
    digest.update(format!("{bootstrap_servers:?} {tls:?} {sasl:?} "));
    digest.update(salted);
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
