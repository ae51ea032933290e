//! The Secrets of sources: which of those that a StockWatch names its pods may mount. Their values are not read here.
//!
//! One that is missing, or not labelled for sources, is left out, and concerns the source alone: the worker says so and
//! asks nobody. A Secret for Kafka is not labelled for sources: whoever may edit a StockWatch could send it anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::{Client, Error};
use stockwatch_crds::Source;
use tokio::time::Instant;

use super::problem::ReadError;
use super::read::{SecretAccess, labelled, missing, not_readable};
use super::{AGAIN, AGAIN_AFTER_PROBLEM};
use crate::bounded::{CallError, READ, bounded};
use crate::key::Key;
use crate::names::FOR_SOURCES;

/// What a StockWatch's pods may mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mountable {
    /// The Secrets that are there and labelled.
    pub names: BTreeSet<String>,
    /// When they are to be looked at again; `None`: none is named.
    pub again: Option<Instant>,
}

/// What is known of each StockWatch's.
pub struct SourceSecrets {
    client: Client,
    access: SecretAccess,
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Clone)]
struct Entry {
    /// What the spec names, and what is wrong with each.
    named: BTreeMap<String, Option<String>>,
    again: Instant,
}

impl Entry {
    fn mountable(&self) -> Mountable {
        let usable = self.named.iter().filter(|(_, problem)| problem.is_none());
        Mountable { names: usable.map(|(name, _)| name.clone()).collect(), again: Some(self.again) }
    }
}

impl SourceSecrets {
    /// Looks through this client; `access` is for the sentence that says how to allow it.
    pub fn new(client: Client, access: SecretAccess) -> Self {
        Self { client, access, entries: Mutex::default() }
    }

    /// Returns which of the Secrets that a source names may be mounted; looks at them if that is due.
    ///
    /// # Errors
    /// The API server did not answer, and nothing is known from before.
    pub async fn of(&self, key: &Key, source: &Source) -> Result<Mountable, ReadError> {
        let names = source.secrets();
        if names.is_empty() {
            self.forget(key);
            return Ok(Mountable::default());
        }
        let now = Instant::now();
        let known = self.lock().get(key).cloned();
        let last =
            known.as_ref().filter(|entry| entry.named.keys().map(String::as_str).eq(names.iter().copied()));
        if let Some(entry) = last.filter(|entry| now < entry.again) {
            return Ok(entry.mountable());
        }
        let looked = match self.look(key, &names).await {
            Ok(named) => named,
            // What was there last is most likely what is there.
            Err(error) => match last {
                Some(entry) => {
                    tracing::warn!(stockwatch = %key, %error, "the Secrets of a source are not looked at anew");
                    entry.named.clone()
                }
                None => return Err(error),
            },
        };
        for (name, problem) in &looked {
            let before = known.as_ref().and_then(|entry| entry.named.get(name)?.as_ref());
            if let Some(problem) = problem.as_ref().filter(|problem| before != Some(*problem)) {
                tracing::warn!(stockwatch = %key, "{problem}");
            }
        }
        let again = if looked.values().all(Option::is_none) {
            AGAIN.mul_f64(1.0 + fastrand::f64())
        } else {
            AGAIN_AFTER_PROBLEM
        };
        let entry = Entry { named: looked, again: now + again };
        self.lock().insert(key.clone(), entry.clone());
        Ok(entry.mountable())
    }

    /// The StockWatch is gone.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    async fn look(
        &self,
        key: &Key,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Option<String>>, ReadError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let mut named = BTreeMap::new();
        for name in names {
            let problem = match bounded(READ, api.get_metadata(name)).await {
                Ok(secret) => problem(key, name, &secret.metadata),
                Err(CallError::Api(Error::Api(status))) if status.code == 403 => {
                    Some(not_readable(&self.access, key, name).message)
                }
                Err(CallError::Api(Error::Api(status))) if status.code == 404 => {
                    Some(missing(key, name, "spec.source").message + ": its source asks nobody")
                }
                Err(source) => return Err(ReadError { name: (*name).to_owned(), source }),
            };
            named.insert((*name).to_owned(), problem);
        }
        Ok(named)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a Secret may not be mounted.
fn problem(key: &Key, name: &str, metadata: &ObjectMeta) -> Option<String> {
    let problem = labelled(key, name, metadata, FOR_SOURCES, "it may be sent to the source").err()?;
    Some(problem.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::CREDENTIALS;

    #[test]
    fn only_a_secret_that_is_labelled_for_sources_is_mounted() {
        let problem = |label: Option<&str>| {
            let labels = label.map(|label| BTreeMap::from([(CREDENTIALS.to_owned(), label.to_owned())]));
            problem(&Key::new("market", "tech"), "quotes", &ObjectMeta { labels, ..ObjectMeta::default() })
        };
        assert_eq!(problem(Some("source")), None);
        for label in [None, Some("true"), Some("")] {
            let said = problem(label).unwrap_or_default();
            let command = "kubectl label secret quotes -n market stockwatch.dev/credentials=source";
            assert!(said.contains(command), "{label:?}: {said}");
        }
    }
}
