//! Leader election by a Lease. Unlike most, this leader knows in time that it may have lost: it writes only while its
//! [`Fence`] is open, and stands by again when it could not renew for [`RENEW_WITHIN`], well before another may take over.

mod lease;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::{Client, Error, ResourceExt};
use tokio::time::{sleep, timeout};

use crate::bounded::{CallError, bounded};
use crate::fence::{Fence, boot_time};
use lease::{Candidate, Next, held, released};

/// A leader that could not renew for so long leads no more.
const RENEW_WITHIN: Duration = Duration::from_secs(6);
/// Between two renewals.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Between two looks of a candidate at most: a watch tells it at once what changes.
const LOOK: Duration = Duration::from_secs(2);
/// Between two attempts to take a Lease that may be free.
const ATTEMPT: Duration = Duration::from_millis(500);
/// Between two attempts of a leader whose renewal failed.
const RETRY: Duration = Duration::from_secs(1);
/// For one request.
const REQUEST: Duration = Duration::from_secs(2);

/// Why this process leads no more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another one took over.
    #[error("the Lease has another holder")]
    Taken,
    /// The API server cannot be reached, or refuses.
    #[error("the Lease could not be renewed for {RENEW_WITHIN:?}")]
    NotRenewed,
}

/// Takes part in the election.
pub struct Leader {
    api: Api<Lease>,
    name: String,
    me: String,
    fence: Fence,
}

/// What became of an attempt to take the Lease.
enum Attempt {
    Taken(Box<HeldLease>),
    /// Another one holds it, at this version or a later one.
    Held(String),
}

/// The Lease as it was last written by this process.
#[derive(Debug)]
pub struct HeldLease(Lease);

impl Leader {
    /// `me` is unique among the candidates: the pod's name.
    pub fn new(client: Client, namespace: &str, name: String, me: String, fence: Fence) -> Self {
        Self { api: Api::namespaced(client, namespace), name, me, fence }
    }

    /// Waits until this process leads.
    pub async fn acquire(&self) -> HeldLease {
        let mut candidate = Candidate::default();
        let mut said = None;
        loop {
            match self.attempt(&mut candidate).await {
                Ok(Attempt::Taken(held)) => return *held,
                Ok(Attempt::Held(version)) => {
                    said = None;
                    self.change(&version, candidate.patience(boot_time()).clamp(ATTEMPT, LOOK)).await;
                }
                Err(error) => {
                    let text = error.to_string();
                    if said.as_ref() != Some(&text) {
                        tracing::warn!(lease = self.name, error = text, "the Lease cannot be taken");
                        said = Some(text);
                    }
                    sleep(ATTEMPT).await;
                }
            }
        }
    }

    /// Waits until the Lease is another than at this version; for `most`, whatever becomes of the watch.
    async fn change(&self, version: &str, most: Duration) {
        let only = WatchParams::default().fields(&format!("metadata.name={}", self.name)).disable_bookmarks();
        let changed = async {
            if let Ok(events) = self.api.watch(&only, version).await
                && let Some(Ok(WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_))) =
                    pin!(events).next().await
            {
                return;
            }
            pending().await
        };
        let _ = timeout(most, changed).await;
    }

    async fn attempt(&self, candidate: &mut Candidate) -> Result<Attempt, CallError> {
        let found = bounded(REQUEST, self.api.get_opt(&self.name)).await?;
        let lease = found.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        let version = lease.resource_version().unwrap_or_default();
        let now = boot_time();
        let Next::Take(spec) = candidate.look(&self.me, &lease, now, Timestamp::now()) else {
            return Ok(Attempt::Held(version));
        };
        let taken = Lease { spec: Some(spec), ..lease };
        let params = PostParams::default();
        let written = match found {
            Some(_) => bounded(REQUEST, self.api.replace(&self.name, &params, &taken)).await,
            None => bounded(REQUEST, self.api.create(&params, &taken)).await,
        };
        match written {
            Ok(lease) => {
                self.fence.open_until(now + RENEW_WITHIN);
                Ok(Attempt::Taken(Box::new(HeldLease(lease))))
            }
            // Another candidate was faster.
            Err(CallError::Api(Error::Api(status))) if status.code == 409 => Ok(Attempt::Held(version)),
            Err(error) => Err(error),
        }
    }

    /// Renews until that fails for too long. The fence is closed then.
    pub async fn keep(&self, held_lease: &mut HeldLease) -> Lost {
        let mut renewed = boot_time();
        loop {
            let now = boot_time();
            let lost = match self.renew(held_lease).await {
                Ok(true) => {
                    renewed = now;
                    self.fence.open_until(now + RENEW_WITHIN);
                    sleep(RENEW_EVERY).await;
                    continue;
                }
                Ok(false) => Some(Lost::Taken),
                Err(error) => {
                    tracing::warn!(lease = self.name, %error, "the Lease is not renewed");
                    (boot_time().saturating_sub(renewed) + RETRY >= RENEW_WITHIN).then_some(Lost::NotRenewed)
                }
            };
            if let Some(lost) = lost {
                self.fence.close();
                return lost;
            }
            sleep(RETRY).await;
        }
    }

    /// `false`: another one holds it.
    async fn renew(&self, held_lease: &mut HeldLease) -> Result<bool, CallError> {
        let mut next = held_lease.0.clone();
        if let Some(spec) = &mut next.spec {
            spec.renew_time = held(&self.me, Timestamp::now()).renew_time;
        }
        match bounded(REQUEST, self.api.replace(&self.name, &PostParams::default(), &next)).await {
            Ok(lease) => {
                held_lease.0 = lease;
                Ok(true)
            }
            // Our own write whose answer was lost, somebody's label, or another holder.
            Err(CallError::Api(Error::Api(status))) if status.code == 409 || status.code == 404 => {
                let Some(found) = bounded(REQUEST, self.api.get_opt(&self.name)).await? else {
                    return Ok(false);
                };
                let holder = found.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                if holder != Some(self.me.as_str()) {
                    return Ok(false);
                }
                held_lease.0 = found;
                Err(CallError::Api(Error::Api(status)))
            }
            Err(error) => Err(error),
        }
    }

    /// Lets another one take over at once. Nothing is written after it.
    pub async fn release(&self) {
        self.fence.close();
        match self.give_up().await {
            Ok(()) => tracing::info!(lease = self.name, "the Lease is released"),
            Err(error) => tracing::warn!(lease = self.name, %error, "the Lease is not released: it runs out"),
        }
    }

    /// Read first: the answer to the last renewal may have been lost.
    async fn give_up(&self) -> Result<(), CallError> {
        let Some(lease) = bounded(REQUEST, self.api.get_opt(&self.name)).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_ref() else { return Ok(()) };
        if spec.holder_identity.as_deref() == Some(self.me.as_str()) {
            let free = Lease { spec: Some(released(spec, Timestamp::now())), ..lease };
            bounded(REQUEST, self.api.replace(&self.name, &PostParams::default(), &free)).await?;
        }
        Ok(())
    }
}
