//! Secrets that `spec.worker` gives to the pods: whoever may create a StockWatch runs an image of their choice, so that
//! only a label on the Secret lets it in.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, Error};
use tokio::time::Instant;

use super::problem::{ReadError, SecretProblem};
use super::read::{SecretAccess, labelled, missing, not_readable};
use super::{AGAIN, AGAIN_AFTER_PROBLEM};
use crate::bounded::{CallError, READ, bounded};
use crate::key::Key;
use crate::names::FOR_PODS;

/// Whether the pods may be given their Secrets.
#[derive(Debug, Clone, Default)]
pub struct PodSecrets {
    /// Why not.
    pub problem: Option<SecretProblem>,
    /// When the Secrets are looked at again; `None`: with the next reconcile that is due anyhow.
    pub again: Option<Instant>,
}

/// What was found of each StockWatch.
#[derive(Default)]
pub(super) struct Verdicts(Mutex<HashMap<Key, Verdict>>);

struct Verdict {
    names: BTreeSet<String>,
    problem: Option<SecretProblem>,
    until: Instant,
}

impl Verdicts {
    /// Looks at the named Secrets' labels, unless that was done a moment ago.
    pub(super) async fn of(
        &self,
        client: &Client,
        access: &SecretAccess,
        key: &Key,
        names: &BTreeSet<&str>,
    ) -> Result<PodSecrets, ReadError> {
        if names.is_empty() {
            self.forget(key);
            return Ok(PodSecrets::default());
        }
        let now = Instant::now();
        if let Some(known) = self.known(key, names, now) {
            return Ok(known);
        }
        let problem = look(client, access, key, names).await?;
        let wait = if problem.is_some() { AGAIN_AFTER_PROBLEM } else { AGAIN };
        let verdict = Verdict { names: owned(names), problem, until: now + wait };
        let found = verdict.found();
        self.lock().insert(key.clone(), verdict);
        Ok(found)
    }

    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn known(&self, key: &Key, names: &BTreeSet<&str>, now: Instant) -> Option<PodSecrets> {
        let verdicts = self.lock();
        let verdict =
            verdicts.get(key).filter(|verdict| now < verdict.until && verdict.names == owned(names))?;
        Some(verdict.found())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdict {
    fn found(&self) -> PodSecrets {
        PodSecrets { problem: self.problem.clone(), again: self.problem.as_ref().map(|_| self.until) }
    }
}

fn owned(names: &BTreeSet<&str>) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn look(
    client: &Client,
    access: &SecretAccess,
    key: &Key,
    names: &BTreeSet<&str>,
) -> Result<Option<SecretProblem>, ReadError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    for name in names {
        let metadata = match bounded(READ, api.get(name)).await {
            Ok(secret) => secret.metadata,
            Err(CallError::Api(Error::Api(status))) if status.code == 403 => {
                return Ok(Some(not_readable(access, key, name)));
            }
            // One that is optional, too: it could come without the label, and pods would see it when they start.
            Err(CallError::Api(Error::Api(status))) if status.code == 404 => {
                return Ok(Some(missing(key, name, "spec.worker")));
            }
            Err(source) => return Err(ReadError { name: (*name).to_owned(), source }),
        };
        if let Err(problem) = labelled(key, name, &metadata, FOR_PODS, "the workers may see it") {
            return Ok(Some(problem));
        }
    }
    Ok(None)
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

    async fn found(client: &Client, verdicts: &Verdicts, name: &str) -> PodSecrets {
        let access = SecretAccess { role: "secrets".into(), service_account: Default::default() };
        verdicts.of(client, &access, &Key::new("market", "tech"), &BTreeSet::from([name])).await.unwrap()
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
            let problem = found(&server(labels).0, &Verdicts::default(), "user").await.problem.unwrap();
            assert_eq!(problem.reason, Reason::SecretNotLabelled);
            assert!(problem.message.ends_with(command), "{}", problem.message);
        }
        let (client, _) = server(json!({"stockwatch.dev/credentials": "pod"}));
        assert_eq!(found(&client, &Verdicts::default(), "user").await.problem, None);
    }

    #[tokio::test]
    async fn a_secret_that_is_not_there_is_named_with_the_field() {
        let problem = found(&server(json!({})).0, &Verdicts::default(), "other").await.problem.unwrap();
        assert_eq!(problem.reason, Reason::SecretMissing);
        assert!(problem.message.contains("other, which spec.worker names,"), "{}", problem.message);
    }

    #[tokio::test]
    async fn what_was_found_is_remembered_and_no_secret_costs_no_question() {
        let (client, asked) = server(json!({"stockwatch.dev/credentials": "pod"}));
        let verdicts = Verdicts::default();
        for _ in 0..3 {
            found(&client, &verdicts, "user").await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let access = SecretAccess { role: "secrets".into(), service_account: Default::default() };
        verdicts.of(&client, &access, &Key::new("market", "tech"), &BTreeSet::new()).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
