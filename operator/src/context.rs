//! What every reconcile works with.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use stockwatch_crds::StockWatchStatus;
use stockwatch_crds::v1alpha1::ToleranceEdit;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::credentials::{Credentials, SecretAccess};
use crate::events;
use crate::fence::Fence;
use crate::flow::Flows;
use crate::key::{Key, Revision};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::reconcile::Applier;
use crate::slots::Slots;
use crate::store::Store;
use crate::synced::Synced;
use crate::topics::{self, KafkaClusters, ObjectKey};
use crate::workers::Workers;
use crate::writes::Writes;

/// An API server that is busy answers again within this time; a webhook that hangs does not.
const HANGS: Duration = Duration::from_secs(120);

/// What the command line says of the workers and of the operator itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The image of a worker whose StockWatch names none.
    pub worker_image: String,
    /// The pull secrets of a worker whose StockWatch names none.
    pub pull_secrets: Vec<String>,
    /// The pull policy of a worker whose StockWatch names none; `None`: Kubernetes' default.
    pub pull_policy: Option<String>,
    /// The address that workers listen on.
    pub listen: IpAddr,
    /// How Secrets are made readable.
    pub secret_access: SecretAccess,
    /// Names this process in events.
    pub instance: String,
    /// Between two questions to a worker whether quotes flow.
    pub quotes_interval: Duration,
}

/// What a context is made of.
pub struct Parts {
    /// From the command line.
    pub settings: Settings,
    /// Reads and writes.
    pub client: Client,
    /// Whether it may write.
    pub fence: Fence,
    /// What the watches have shown.
    pub store: Arc<Store>,
    /// Of which namespaces that is all there is.
    pub synced: Arc<Synced>,
    /// Who is to be reconciled.
    pub queue: Arc<Queue>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is counted of Kafka.
    pub kafka_metrics: topics::Metrics,
}

/// What every reconcile works with.
pub struct Context {
    /// From the command line.
    pub settings: Settings,
    /// Reads what no watch shows.
    pub client: Client,
    /// The one way to write.
    pub writes: Writes,
    /// What the watches have shown.
    pub store: Arc<Store>,
    /// Of which namespaces that is all there is.
    pub synced: Arc<Synced>,
    /// Who is to be reconciled.
    pub queue: Arc<Queue>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Secrets.
    pub credentials: Credentials,
    /// Topics.
    pub kafka: KafkaClusters,
    /// What the workers compute with.
    pub workers: Workers,
    /// Whether quotes flow.
    pub flows: Flows,
    /// Applies owned objects.
    pub applier: Applier,
    /// Whose pods are replaced now.
    pub slots: Slots,
    memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered of a StockWatch from one reconcile to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// As Kafka's side knows it.
    pub who: Option<ObjectKey>,
    /// Its generation when it was last looked at.
    pub generation: Option<i64>,
    /// Since when its status is to say something else.
    pub differs_since: Option<Instant>,
    /// A status as it was, and the one that was written over it and changed nothing.
    pub in_vain: Option<(StockWatchStatus, StockWatchStatus)>,
    /// The resourceVersion at which its status says that it cannot be read.
    pub said_unreadable: Option<String>,
    /// Kafka refused its credentials.
    pub refused: bool,
    /// Since when its workers are not as wanted, when their pods were looked at, and what these said.
    pub unready: Option<Unready>,
    /// What a reconcile that failed was about.
    pub failed_at: Option<Revision>,
    /// Digest of the pod template that it was last given.
    pub template: Option<String>,
    /// Since when writes for it are not answered in time.
    pub late_since: Option<Instant>,
    /// A generation, and what it changes of the tolerances.
    pub edits: Option<(i64, Vec<ToleranceEdit>)>,
    /// What its deletion waits for, as it was last logged.
    pub waits_for: Option<String>,
}

/// Workers that are not as wanted.
#[derive(Debug, Clone)]
pub struct Unready {
    /// Since when.
    pub since: Instant,
    /// When their pods were looked at; `None`: not yet.
    pub looked: Option<Instant>,
    /// What these said.
    pub words: Option<String>,
}

impl Context {
    /// For one term of leadership. Gives the keys of StockWatches that Kafka has news of, too.
    pub fn new(parts: Parts) -> (Self, mpsc::UnboundedReceiver<ObjectKey>) {
        let Parts { settings, client, fence, store, synced, queue, metrics, kafka_metrics } = parts;
        let (wake, woken) = mpsc::unbounded_channel();
        let reporter = events::reporter(&settings.instance);
        let writes = Writes::new(client.clone(), fence, Arc::clone(&metrics), reporter);
        let context = Self {
            credentials: Credentials::new(client.clone(), settings.secret_access.clone()),
            kafka: KafkaClusters::new(wake, kafka_metrics),
            workers: Workers::new(Arc::clone(&queue), Arc::clone(&metrics)),
            flows: Flows::default(),
            applier: Applier::new(client.clone(), writes.clone()),
            slots: Slots::default(),
            memory: Mutex::default(),
            settings,
            client,
            writes,
            store,
            synced,
            queue,
            metrics,
        };
        (context, woken)
    }

    /// Reads or changes what is remembered of a StockWatch.
    pub fn remember<T>(&self, key: &Key, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(self.memory().entry(key.clone()).or_default())
    }

    /// Notes whether a write for a StockWatch was not answered in time; `true`: that has been so for minutes.
    pub fn hangs(&self, key: &Key, is_late: bool) -> bool {
        let now = Instant::now();
        self.remember(key, |memory| {
            memory.late_since = is_late.then(|| memory.late_since.unwrap_or(now));
            memory.late_since.is_some_and(|since| now.duration_since(since) >= HANGS)
        })
    }

    /// A StockWatch is gone: nothing of it is kept.
    pub fn forget(&self, key: &Key) {
        if let Some(who) = self.clear(key) {
            self.kafka.forget(&who);
        }
    }

    /// Another release looks after a StockWatch: nothing of it is kept but whose its topics are.
    pub fn leave(&self, key: &Key) {
        if let Some(who) = self.clear(key) {
            self.kafka.leave(&who);
            self.remember(key, |memory| memory.who = Some(who));
        }
    }

    /// Keeps nothing of it but what Kafka's side knows; gives as whom.
    fn clear(&self, key: &Key) -> Option<ObjectKey> {
        let known = self.memory().remove(key);
        self.workers.forget(key);
        self.flows.forget(key);
        self.credentials.forget(key);
        self.applier.forget(key);
        self.writes.forget(key);
        self.queue.forget(key);
        self.free_slot(key);
        known?.who
    }

    /// It does not roll any more: the next one may.
    pub fn free_slot(&self, key: &Key) {
        if let Some(next) = self.slots.free(key, Instant::now()) {
            self.queue.add(next);
        }
    }

    /// Its workers are ready in the form that they were given: the next one may roll.
    pub fn slot_done(&self, key: &Key) {
        if let Some(next) = self.slots.done(key, Instant::now()) {
            self.queue.add(next);
        }
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<Key, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
