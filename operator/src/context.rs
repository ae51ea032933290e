//! What every reconcile works with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use stockwatch_crds::StockWatchStatus;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::credentials::{Credentials, SecretAccess, SourceSecrets};
use crate::fence::Fence;
use crate::key::Key;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::reconcile::Applier;
use crate::slots::Slots;
use crate::store::Store;
use crate::topics::{self, KafkaClusters, ObjectKey};
use crate::workers::Workers;
use crate::writes::Writes;

/// What the command line says of the workers and of the operator itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The image of a worker whose StockWatch names none.
    pub worker_image: String,
    /// The pull secrets of a worker whose StockWatch names none.
    pub pull_secrets: Vec<String>,
    /// How Secrets are made readable.
    pub secret_access: SecretAccess,
    /// Names this process in events.
    pub instance: String,
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
    /// Who is to be reconciled.
    pub queue: Arc<Queue>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Secrets.
    pub credentials: Credentials,
    /// Which Secrets of sources may be mounted.
    pub source_secrets: SourceSecrets,
    /// Topics.
    pub kafka: KafkaClusters,
    /// What the workers compute with.
    pub workers: Workers,
    /// Applies owned objects.
    pub applier: Applier,
    /// Who takes a new default image now.
    pub slots: Slots,
    memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered of a StockWatch from one reconcile to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// As Kafka's side knows it.
    pub who: Option<ObjectKey>,
    /// Since when its status is to say something else.
    pub differs_since: Option<Instant>,
    /// A status as it was, and the one that was written over it and changed nothing.
    pub in_vain: Option<(StockWatchStatus, StockWatchStatus)>,
    /// The resourceVersion at which its status says that it cannot be read.
    pub said_unreadable: Option<String>,
    /// Kafka refused its credentials.
    pub refused: bool,
    /// What its deletion waits for, as it was last logged.
    pub waits_for: Option<String>,
}

impl Context {
    /// Gives the keys of StockWatches that Kafka has news of, too.
    pub fn new(
        settings: Settings,
        client: Client,
        fence: Fence,
        store: Arc<Store>,
        queue: Arc<Queue>,
        metrics: Arc<Metrics>,
    ) -> (Self, mpsc::UnboundedReceiver<ObjectKey>) {
        let (wake, woken) = mpsc::unbounded_channel();
        let writes = Writes::new(client.clone(), fence, Arc::clone(&metrics));
        let kafka = KafkaClusters::new(wake, metrics.register_with(topics::Metrics::new));
        let context = Self {
            credentials: Credentials::new(client.clone(), settings.secret_access.clone()),
            source_secrets: SourceSecrets::new(client.clone(), settings.secret_access.clone()),
            kafka,
            workers: Workers::new(Arc::clone(&queue), Arc::clone(&metrics)),
            applier: Applier::new(client.clone(), writes.clone()),
            slots: Slots::default(),
            memory: Mutex::default(),
            settings,
            client,
            writes,
            store,
            queue,
            metrics,
        };
        (context, woken)
    }

    /// Reads or changes what is remembered of a StockWatch.
    pub fn remember<T>(&self, key: &Key, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(self.memory().entry(key.clone()).or_default())
    }

    /// A StockWatch is gone: nothing of it is kept.
    pub fn forget(&self, key: &Key) {
        let memory = self.memory().remove(key);
        if let Some(who) = memory.and_then(|memory| memory.who) {
            self.kafka.forget(&who);
        }
        self.workers.forget(key);
        self.credentials.forget(key);
        self.source_secrets.forget(key);
        self.applier.forget(key);
        self.writes.forget(key);
        self.queue.forget(key);
        self.free_slot(key);
    }

    /// It does not roll any more: the next one may.
    pub fn free_slot(&self, key: &Key) {
        if let Some(next) = self.slots.free(key) {
            self.queue.add(next);
        }
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<Key, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
