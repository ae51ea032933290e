//! Who looks after what: one release of the chart for each namespace, or for the whole cluster.
//!
//! Two releases would apply the same objects under the same field manager, each in its own form, and roll every worker
//! for ever. So each scope has one claim: a Lease of a fixed name, which the chart makes and which names its release.
//! helm refuses to install a second release over it; where it was taken over all the same, the release that it does not
//! name stays away and says so.
//!
//! A namespace may be claimed beside the whole cluster. Of these two claims the older one counts, that of the namespace
//! if they are of the same second: both releases see the same two Leases, so exactly one of them looks after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, ObjectMeta};
use kube::{Client, Error};
use tokio::time::sleep;

use crate::bounded::{CallError, READ, bounded};
use crate::synced::{Others, Synced};

/// The claim's name.
const NAME: &str = "stockwatch-claim";
/// Where the claim of the whole cluster is.
const CLUSTER: &str = "kube-system";
/// On a claim: the release that has it, as `NAMESPACE/NAME`.
const RELEASE: &str = "stockwatch.dev/release";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// A release's claim of a namespace, or of the cluster.
#[derive(Debug, Clone)]
struct Claim {
    release: String,
    since: Timestamp,
}

/// Claims, by the namespaces that they are in.
type Found = BTreeMap<String, Claim>;

/// Looks at the claims of what this release is to look after.
pub struct Claims {
    client: Client,
    /// What it is to look after; none is listed: all.
    namespaces: Vec<String>,
    /// This release.
    me: String,
    synced: Arc<Synced>,
    /// They have been looked at.
    known: AtomicBool,
}

impl Claims {
    /// For a release that looks after these namespaces, or after all if none is listed.
    pub fn new(client: Client, namespaces: Vec<String>, me: String, synced: Arc<Synced>) -> Self {
        Self { client, namespaces, me, synced, known: AtomicBool::new(false) }
    }

    /// Looks once. `true`: something changed hands; an error if a claim could not be looked at.
    pub async fn look(&self) -> Result<bool, CallError> {
        let found = if self.namespaces.is_empty() { self.all().await? } else { self.listed().await? };
        Ok(self.synced.claimed(&others(&self.namespaces, &found, &self.me)))
    }

    /// Waits until every claim was looked at once; until then the process is not ready.
    pub async fn first(&self) {
        if self.known.load(Ordering::Relaxed) {
            return;
        }
        while let Err(error) = self.look().await {
            tracing::warn!(%error, "it is not known which release looks after what");
            self.synced.set_unknown(Some(format!("claims (Leases {NAME}) cannot be read: {error}")));
            sleep(EVERY / 10).await;
        }
        self.synced.set_unknown(None);
        self.known.store(true, Ordering::Relaxed);
        self.say();
    }

    /// Looks once more, as long as one request takes. What was last known holds if that fails.
    pub async fn refresh(&self) {
        match self.look().await {
            Ok(_) => self.say(),
            Err(error) => tracing::warn!(%error, "which release looks after what is not known anew"),
        }
    }

    /// Looks for ever. What was last known holds while the API server is away.
    pub async fn follow(&self) {
        loop {
            sleep(EVERY).await;
            if matches!(self.look().await, Ok(true)) {
                self.say();
            }
        }
    }

    fn say(&self) {
        for note in self.synced.notes() {
            tracing::warn!(release = self.me, "{note}");
        }
    }

    /// Every claim in the cluster.
    async fn all(&self) -> Result<Found, CallError> {
        let api: Api<Lease> = Api::all(self.client.clone());
        let claims = ListParams::default().fields(&format!("metadata.name={NAME}"));
        let listed = granted(bounded(READ, api.list_metadata(&claims)).await)?;
        let metadata = listed.into_iter().flat_map(|list| list.items).map(|claim| claim.metadata);
        Ok(metadata.filter_map(|metadata| claim(&metadata)).collect())
    }

    /// Those of the listed namespaces, and that of the cluster: its release lets everybody read it.
    async fn listed(&self) -> Result<Found, CallError> {
        let looks = self.namespaces.iter().map(String::as_str).chain([CLUSTER]).map(|namespace| async move {
            let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
            granted(bounded(READ, api.get_metadata_opt(NAME)).await)
        });
        let found: Result<Vec<_>, CallError> = join_all(looks).await.into_iter().collect();
        Ok(found?.into_iter().flatten().flatten().filter_map(|lease| claim(&lease.metadata)).collect())
    }
}

/// The chart that makes a claim also grants its reading: what may not be read is not there.
fn granted<T>(read: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match read {
        Err(CallError::Api(Error::Api(status))) if status.code == 403 => Ok(None),
        read => read.map(Some),
    }
}

/// `None`: somebody else's Lease of that name claims nothing.
fn claim(metadata: &ObjectMeta) -> Option<(String, Claim)> {
    let release = metadata.annotations.as_ref()?.get(RELEASE)?.clone();
    let since = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    Some((metadata.namespace.clone()?, Claim { release, since }))
}

/// Which other releases look after what this one is to look after: these namespaces, or all if none is listed.
fn others(namespaces: &[String], found: &Found, me: &str) -> Others {
    let another = |claim: &Claim| (claim.release != me).then(|| claim.release.clone());
    let cluster = found.get(CLUSTER);
    let is_of_namespace = |own: &Claim| {
        cluster.is_none_or(|cluster| own.since <= cluster.since || own.release == cluster.release)
    };
    if !namespaces.is_empty() {
        let owner = |namespace: &String| {
            let own = found.get(namespace).filter(|own| is_of_namespace(own));
            Some((Some(namespace.clone()), another(own.or(cluster)?)?))
        };
        return namespaces.iter().filter_map(owner).collect();
    }
    if let Some(release) = cluster.and_then(another) {
        return Others::from([(None, release)]);
    }
    let owner = |(namespace, own): (&String, &Claim)| {
        Some((Some(namespace.clone()), another(own).filter(|_| is_of_namespace(own))?))
    };
    found.iter().filter(|(namespace, _)| *namespace != CLUSTER).filter_map(owner).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    const WIDE: &str = "ops/stockwatch";
    const SMALL: &str = "team/stockwatch";

    fn lease(namespace: &str, annotations: Value, second: u32) -> Option<(String, Claim)> {
        let created = format!("2026-01-01T00:00:{second:02}Z");
        let lease = json!({
            "name": NAME, "namespace": namespace, "annotations": annotations, "creationTimestamp": created,
        });
        claim(&serde_json::from_value(lease).unwrap())
    }

    fn found(claims: &[(&str, &str, u32)]) -> Found {
        claims
            .iter()
            .filter_map(|(at, release, second)| lease(at, json!({RELEASE: release}), *second))
            .collect()
    }

    #[test]
    fn a_claim_that_names_another_release_keeps_this_one_away() {
        let small = ["a".to_owned()];
        for (namespaces, at, scope) in [(&[][..], CLUSTER, None), (&small[..], "a", Some("a".to_owned()))] {
            let of = |release| others(namespaces, &found(&[(at, release, 1)]), WIDE);
            assert_eq!(of(SMALL), Others::from([(scope, SMALL.to_owned())]));
            assert_eq!(of(WIDE), Others::new());
            assert_eq!(others(namespaces, &Found::new(), WIDE), Others::new());
        }
        assert!(lease("a", json!({}), 1).is_none(), "somebody else's Lease of that name claims nothing");
    }

    #[test]
    fn of_the_claims_of_a_namespace_and_of_the_cluster_the_older_one_counts_for_both_releases() {
        let of = |release: &str| Others::from([(Some("a".to_owned()), release.to_owned())]);
        for (small, wide, owner) in [(1, 2, SMALL), (2, 2, SMALL), (3, 2, WIDE)] {
            let found = found(&[("a", SMALL, small), (CLUSTER, WIDE, wide)]);
            let expected = |me: &str| if me == owner { Others::new() } else { of(owner) };
            assert_eq!(others(&[], &found, WIDE), expected(WIDE), "{small} {wide}");
            assert_eq!(others(&["a".to_owned()], &found, SMALL), expected(SMALL), "{small} {wide}");
        }
    }

    #[test]
    fn a_claim_of_the_cluster_alone_covers_a_namespace_and_one_of_a_namespace_nothing_else() {
        let wide = found(&[(CLUSTER, WIDE, 1)]);
        assert_eq!(others(&["a".to_owned()], &wide, SMALL).into_values().collect::<Vec<_>>(), [WIDE]);
        let small = found(&[("a", SMALL, 1)]);
        assert_eq!(others(&[], &small, WIDE).into_keys().collect::<Vec<_>>(), [Some("a".to_owned())]);
        assert_eq!(others(&["b".to_owned()], &small, "b/stockwatch"), Others::new());
    }
}
