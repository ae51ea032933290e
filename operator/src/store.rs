//! What is known of the cluster, kept small: of owned objects only what says whether they are as wanted.

mod owned;
mod watched;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DynamicObject, ObjectMeta};
use kube::core::DeserializeGuard;
use stockwatch_crds::StockWatch;

pub use owned::{Controller, Owned, Whose};
pub use watched::Watched;

use crate::cache::{Cache, version};
use crate::key::Key;
use crate::managed::Interner;
use crate::names;
use crate::resources::Kind;
use crate::rollout::Rollout;
use crate::workers::{Endpoint, endpoints};

/// Everything that the watches have shown.
#[derive(Debug, Default)]
pub struct Store {
    /// The StockWatches.
    pub stockwatches: Cache<Watched>,
    /// Their objects, by kind.
    pub owned: Cache<Owned>,
    /// Their workers, by EndpointSlice.
    pub workers: Cache<Vec<Endpoint>>,
    interner: Interner,
}

/// What a watch shows: whose it is, which of its objects, which state of it, and what matters of that.
#[derive(Debug)]
pub struct Shown<V> {
    pub(crate) key: Key,
    pub(crate) part: String,
    pub(crate) version: u64,
    pub(crate) value: V,
}

impl Store {
    /// A StockWatch, readable or not.
    pub fn stockwatch(guard: DeserializeGuard<StockWatch>) -> Option<Shown<Watched>> {
        let value = Watched::of(guard);
        let metadata = value.metadata();
        Some(Shown { key: Key::of(metadata)?, part: String::new(), version: version(metadata), value })
    }

    /// An owned object of any kind but Deployment.
    pub fn owned(&self, kind: Kind, metadata: ObjectMeta) -> Option<Shown<Owned>> {
        self.shown(kind, metadata, None)
    }

    /// A Deployment.
    pub fn deployment(&self, mut deployment: Deployment) -> Option<Shown<Owned>> {
        let rollout = Rollout::of(&deployment);
        self.shown(Kind::Deployment, std::mem::take(&mut deployment.metadata), rollout)
    }

    /// The workers of one EndpointSlice of our Service.
    pub fn slice(slice: EndpointSlice) -> Option<Shown<Vec<Endpoint>>> {
        let metadata = &slice.metadata;
        // The Service's labels are on its slices.
        let name = metadata.labels.as_ref()?.get(names::STOCKWATCH)?;
        let key = Key::new(metadata.namespace.clone()?, name);
        let (part, version) = (metadata.name.clone()?, version(metadata));
        Some(Shown { key, part, version, value: endpoints(&slice) })
    }

    /// The answer to the apply of an owned object. Gives what is known of it now.
    pub fn learn_owned(&self, kind: Kind, object: DynamicObject) -> Option<Owned> {
        let shown = if kind == Kind::Deployment {
            let text = serde_json::to_value(&object).ok()?;
            self.deployment(serde_json::from_value(text).ok()?)?
        } else {
            self.owned(kind, object.metadata)?
        };
        self.owned.learn(shown.key, &shown.part, shown.version, shown.value.clone());
        Some(shown.value)
    }

    /// The answer to a write of a StockWatch.
    pub fn learn_stockwatch(&self, stockwatch: StockWatch) {
        if let Some(shown) = Self::stockwatch(DeserializeGuard(Ok(stockwatch))) {
            self.stockwatches.learn(shown.key, &shown.part, shown.version, shown.value);
        }
    }

    /// What is known of one object of a StockWatch.
    pub fn owned_of(&self, key: &Key, kind: Kind) -> Option<Owned> {
        self.owned.get(key, kind.as_str())
    }

    /// The ready workers of a StockWatch.
    pub fn workers_of(&self, key: &Key) -> Vec<Endpoint> {
        let mut workers: Vec<Endpoint> = self.workers.of(key).into_iter().flatten().collect();
        workers.sort_by(|a, b| a.pod.cmp(&b.pod));
        workers.dedup_by(|a, b| a.pod == b.pod);
        workers
    }

    fn shown(&self, kind: Kind, mut metadata: ObjectMeta, rollout: Option<Rollout>) -> Option<Shown<Owned>> {
        let name = names::owner(metadata.name.as_deref()?)?;
        let key = Key::new(metadata.namespace.clone()?, name);
        let version = version(&metadata);
        let fields = self.interner.ours(metadata.managed_fields.take());
        let value = Owned::of(&metadata, fields, rollout);
        Some(Shown { key, part: kind.as_str().to_owned(), version, value })
    }
}
