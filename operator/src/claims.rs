//! Who looks after what: one release of the chart for each namespace, or for the whole cluster.
//!
//! Two releases would apply the same objects under the same field manager, each in its own form, and roll every worker
//! for ever. So each scope has one claim: a Lease of a fixed name, which the chart makes and which names its release.
//! helm refuses to install a second release over it; where it was taken over all the same, the release that it does not
//! name stays away and says so.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::{Client, Error};
use tokio::time::sleep;

use crate::bounded::{CallError, READ, bounded};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::store::Store;
use crate::synced::Synced;

/// The claim's name.
const NAME: &str = "stockwatch-claim";
/// Where the claim of the whole cluster is.
const CLUSTER: &str = "kube-system";
/// On a claim: the release that has it, as `NAMESPACE/NAME`.
const RELEASE: &str = "stockwatch.dev/release";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// Looks at the claims of what this release is to look after.
pub struct Claims {
    client: Client,
    /// Namespaces; `None`: all.
    scopes: Vec<Option<String>>,
    /// This release.
    me: String,
    synced: Arc<Synced>,
    metrics: Arc<Metrics>,
}

impl Claims {
    /// For a release that looks after these namespaces, or after all if none is listed.
    pub fn new(
        client: Client,
        namespaces: &[String],
        me: String,
        synced: Arc<Synced>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let scopes = match namespaces {
            [] => vec![None],
            listed => listed.iter().cloned().map(Some).collect(),
        };
        Self { client, scopes, me, synced, metrics }
    }

    /// Looks once. Gives the scopes that changed hands; an error if one could not be looked at.
    pub async fn look(&self) -> Result<Vec<Option<String>>, CallError> {
        let looks = self.scopes.iter().map(|scope| self.owner(scope.as_deref()));
        let mut turned = Vec::new();
        for (scope, owner) in self.scopes.iter().zip(join_all(looks).await) {
            if self.synced.claimed(scope.as_deref(), owner?) {
                turned.push(scope.clone());
            }
        }
        Ok(turned)
    }

    /// Waits until every claim was looked at.
    pub async fn first(&self) {
        while let Err(error) = self.look().await {
            tracing::warn!(%error, "it is not known which release looks after what");
            sleep(EVERY / 10).await;
        }
        self.say();
    }

    /// Looks for ever; whoever is looked after by another release from now on, or not any more, comes into the queue.
    pub async fn follow(&self, store: &Store, queue: &Queue) {
        loop {
            sleep(EVERY).await;
            // What was last known holds while the API server is away.
            let Ok(turned) = self.look().await else { continue };
            if turned.is_empty() {
                continue;
            }
            self.say();
            let is_in =
                |namespace: &String| turned.iter().any(|of| of.as_ref().is_none_or(|of| of == namespace));
            let keys = store.stockwatches.keys().into_iter().filter(|key| is_in(&key.namespace));
            keys.for_each(|key| queue.add(key));
        }
    }

    fn say(&self) {
        let notes = self.synced.notes();
        self.metrics.namespaces_left_out.set(i64::try_from(notes.len()).unwrap_or(i64::MAX));
        for note in notes {
            tracing::warn!(release = self.me, "{note}");
        }
    }

    /// The other release that has the claim; `None`: this one has it, or nobody.
    async fn owner(&self, scope: Option<&str>) -> Result<Option<String>, CallError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), scope.unwrap_or(CLUSTER));
        match bounded(READ, api.get_opt(NAME)).await {
            Ok(claim) => Ok(claim.as_ref().and_then(|claim| another(claim, &self.me))),
            // A chart of ours grants this: without, there is no claim of ours to look at either.
            Err(CallError::Api(Error::Api(status))) if status.code == 403 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn another(claim: &Lease, me: &str) -> Option<String> {
    let release = claim.metadata.annotations.as_ref()?.get(RELEASE)?;
    (release != me).then(|| release.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn claim(annotations: Value) -> Lease {
        serde_json::from_value(json!({"metadata": {"name": NAME, "annotations": annotations}})).unwrap()
    }

    #[test]
    fn a_claim_that_names_another_release_keeps_this_one_away() {
        let of = |annotations| another(&claim(annotations), "ops/stockwatch");
        assert_eq!(of(json!({RELEASE: "team/stockwatch"})).as_deref(), Some("team/stockwatch"));
        assert_eq!(of(json!({RELEASE: "ops/stockwatch"})), None);
        assert_eq!(of(json!({})), None, "somebody else's Lease of that name claims nothing");
    }
}
