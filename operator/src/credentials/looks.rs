//! The Secrets that a StockWatch gives to its pods: which of them are there and labelled for their use. Values are not
//! read here.
//!
//! Whoever may create a StockWatch runs an image of their choice and names any address as a source, so that only a label on
//! the Secret lets it in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, Error};
use tokio::time::Instant;

use super::problem::{ReadError, SecretProblem};
use super::read::{SecretAccess, labelled, missing, not_readable};
use crate::bounded::{CallError, READ, bounded};
use crate::key::Key;
use crate::names::{FOR_PODS, FOR_SOURCES};

/// Secrets are read again after this time and up to as much again by chance.
pub(super) const AGAIN: Duration = Duration::from_secs(45);
/// Those that cannot be used are looked at sooner: somebody may just be mending them.
pub(super) const AGAIN_AFTER_PROBLEM: Duration = Duration::from_secs(10);

/// Whether the pods may be given the Secrets that `spec.worker` names.
#[derive(Debug, Clone, Default)]
pub struct PodSecrets {
    /// Why not.
    pub problem: Option<SecretProblem>,
    /// When the Secrets are looked at again; `None`: with the next reconcile that is due anyhow.
    pub again: Option<Instant>,
}

/// Which of the Secrets that a source names the pods may mount. One that is missing, or not labelled, is left out, and
/// concerns the source alone: the worker asks nobody, and QuotesFlow says why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mountable {
    /// The Secrets that are there and labelled.
    pub names: BTreeSet<String>,
    /// Why one is left out.
    pub problem: Option<SecretProblem>,
    /// When they are to be looked at again; `None`: none is named.
    pub again: Option<Instant>,
}

/// What Secrets are given to the pods for.
pub(super) struct Use {
    /// The label's value.
    allows: &'static str,
    /// What may then happen to the Secret.
    meaning: &'static str,
    /// The field that names it.
    field: &'static str,
}

/// What `spec.worker` names. A Secret that is optional is no other: it could come without the label, and pods would see it
/// when they start.
pub(super) const IN_PODS: Use =
    Use { allows: FOR_PODS, meaning: "the workers may see it", field: "spec.worker" };
/// What `spec.source` names. A Secret for Kafka is not labelled for it: whoever may edit a StockWatch could send it
/// anywhere.
pub(super) const AT_SOURCES: Use =
    Use { allows: FOR_SOURCES, meaning: "it may be sent to the source", field: "spec.source" };

/// What is known of all StockWatches' Secrets for one use.
pub(super) struct Looks {
    of: Use,
    entries: Mutex<HashMap<Key, Look>>,
}

/// What one look at a StockWatch's Secrets gave.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// What the spec names, and what is wrong with each.
    named: BTreeMap<String, Option<SecretProblem>>,
    /// When they are looked at again; `None`: none is named.
    again: Option<Instant>,
}

impl Look {
    fn names(&self, names: &BTreeSet<&str>) -> bool {
        self.named.keys().map(String::as_str).eq(names.iter().copied())
    }

    /// What it says of the pods' own.
    pub(super) fn of_pods(self) -> PodSecrets {
        let problem = self.named.into_values().flatten().next();
        PodSecrets { again: self.again.filter(|_| problem.is_some()), problem }
    }

    /// What it says of a source's.
    pub(super) fn of_source(self) -> Mountable {
        let mut mountable = Mountable { again: self.again, ..Mountable::default() };
        for (name, problem) in self.named {
            match problem {
                None => _ = mountable.names.insert(name),
                Some(problem) => _ = mountable.problem.get_or_insert(problem),
            }
        }
        mountable
    }
}

impl Looks {
    pub(super) fn new(of: Use) -> Self {
        Self { of, entries: Mutex::default() }
    }

    /// Looks at the named Secrets, if that is due.
    ///
    /// # Errors
    /// The API server did not answer, and nothing is known from before.
    pub(super) async fn of(
        &self,
        client: &Client,
        access: &SecretAccess,
        key: &Key,
        names: &BTreeSet<&str>,
    ) -> Result<Look, ReadError> {
        if names.is_empty() {
            self.forget(key);
            return Ok(Look::default());
        }
        let now = Instant::now();
        let known = self.lock().get(key).cloned().unwrap_or_default();
        let last = known.names(names);
        if last && known.again.is_some_and(|again| now < again) {
            return Ok(known);
        }
        let named = match self.look(client, access, key, names).await {
            Ok(named) => named,
            // What was there last is most likely what is there.
            Err(error) if last => {
                tracing::warn!(stockwatch = %key, %error, "Secrets are not looked at anew");
                known.named.clone()
            }
            Err(error) => return Err(error),
        };
        for (name, problem) in &named {
            if let Some(problem) = problem.as_ref().filter(|_| known.named.get(name) != Some(problem)) {
                tracing::warn!(stockwatch = %key, "{}", problem.message);
            }
        }
        let wait = if named.values().all(Option::is_none) {
            AGAIN.mul_f64(1.0 + fastrand::f64())
        } else {
            AGAIN_AFTER_PROBLEM
        };
        let look = Look { named, again: Some(now + wait) };
        self.lock().insert(key.clone(), look.clone());
        Ok(look)
    }

    /// The StockWatch is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    async fn look(
        &self,
        client: &Client,
        access: &SecretAccess,
        key: &Key,
        names: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Option<SecretProblem>>, ReadError> {
        let Use { allows, meaning, field } = self.of;
        let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
        let mut named = BTreeMap::new();
        for name in names {
            let problem = match bounded(READ, api.get_metadata(name)).await {
                Ok(secret) => labelled(key, name, &secret.metadata, allows, meaning).err(),
                Err(CallError::Api(Error::Api(status))) if status.code == 403 => {
                    Some(not_readable(access, key, name))
                }
                Err(CallError::Api(Error::Api(status))) if status.code == 404 => {
                    Some(missing(key, name, field))
                }
                Err(source) => return Err(ReadError { name: (*name).to_owned(), source }),
            };
            named.insert((*name).to_owned(), problem);
        }
        Ok(named)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Look>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;
    use crate::status::Reason;

    /// An API server that has the Secret `user`, with these labels, and how often it was asked.
    fn server(labels: Value) -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let there = request.uri().path().ends_with("/secrets/user");
            let (code, body) = if there {
                (200, json!({"metadata": {"name": "user", "labels": labels.clone()}}))
            } else {
                (
                    404,
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""}),
                )
            };
            let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        });
        (Client::new(service, "default"), asked)
    }

    async fn look(client: &Client, looks: &Looks, names: &[&str]) -> Look {
        let access = SecretAccess { role: "secrets".into(), service_account: Default::default() };
        let names = names.iter().copied().collect();
        looks.of(client, &access, &Key::new("market", "tech"), &names).await.unwrap()
    }

    async fn found(client: &Client, name: &str) -> PodSecrets {
        look(client, &Looks::new(IN_PODS), &[name]).await.of_pods()
    }

    #[tokio::test]
    async fn only_a_label_for_pods_lets_a_secret_in_and_the_message_has_the_command() {
        for (labels, command) in [
            (json!({}), "kubectl label secret user -n market stockwatch.dev/credentials=pod"),
            (
                json!({"stockwatch.dev/credentials": "true"}),
                "kubectl label secret user -n market stockwatch.dev/credentials=pod --overwrite",
            ),
        ] {
            let problem = found(&server(labels).0, "user").await.problem.unwrap();
            assert_eq!(problem.reason, Reason::SecretNotLabelled);
            assert!(problem.message.ends_with(command), "{}", problem.message);
        }
        let (client, _) = server(json!({"stockwatch.dev/credentials": "pod"}));
        assert_eq!(found(&client, "user").await.problem, None);
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_is_named_with_the_field() {
        let problem = found(&server(json!({})).0, "other").await.problem.unwrap();
        assert_eq!(problem.reason, Reason::SecretMissing);
        assert!(problem.message.contains("other, which spec.worker names,"), "{}", problem.message);
    }

    #[tokio::test]
    async fn what_was_found_is_remembered_and_no_secret_costs_no_question() {
        let (client, asked) = server(json!({"stockwatch.dev/credentials": "pod"}));
        let looks = Looks::new(IN_PODS);
        for _ in 0..3 {
            look(&client, &looks, &["user"]).await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        look(&client, &looks, &[]).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn why_a_sources_secret_is_not_mounted_is_said_with_the_command() {
        let of = async |labels, names: &[&str]| {
            look(&server(labels).0, &Looks::new(AT_SOURCES), names).await.of_source().problem
        };
        let problem = of(json!({"stockwatch.dev/credentials": "true"}), &["user"]).await.unwrap();
        assert_eq!(problem.reason, Reason::SecretNotLabelled);
        let command = "kubectl label secret user -n market stockwatch.dev/credentials=source --overwrite";
        assert!(problem.message.ends_with(command), "{}", problem.message);
        let labelled = json!({"stockwatch.dev/credentials": "source"});
        let problem = of(labelled.clone(), &["other", "user"]).await.unwrap();
        assert_eq!(problem.reason, Reason::SecretMissing);
        assert!(problem.message.contains("other, which spec.source names,"), "{}", problem.message);
        assert_eq!(of(labelled, &["user"]).await, None);
    }

    #[tokio::test]
    async fn only_a_secret_that_is_labelled_for_sources_is_mounted() {
        for (labels, names) in [
            (json!({"stockwatch.dev/credentials": "source"}), BTreeSet::from(["user".to_owned()])),
            (json!({"stockwatch.dev/credentials": "true"}), BTreeSet::new()),
            (json!({"stockwatch.dev/credentials": ""}), BTreeSet::new()),
            (json!({}), BTreeSet::new()),
        ] {
            let look = look(&server(labels).0, &Looks::new(AT_SOURCES), &["other", "user"]).await;
            assert_eq!(look.of_source().names, names);
        }
    }
}
