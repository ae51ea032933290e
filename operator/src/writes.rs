//! The one way to write to the API server: fenced by the Lease, bounded in time, counted; and what is refused is not
//! asked again before its time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::{Client, Error};
use serde_json::Value;
use stockwatch_crds::{Backoff, StockWatch};
use tokio::time::{Instant, sleep};

use crate::bounded::{CallError, bounded, sentence};
use crate::fence::{Fence, NotLeader};
use crate::key::Key;
use crate::metrics::{Metrics, Write};
use crate::names::{self, MANAGER, STATUS_MANAGER};
use crate::refusals::{Refusal, Refusals, Request, is_refusal};
use crate::resources::{Desired, Kind};

/// Short enough that a write begun under a valid Lease has ended before another may hold it.
const WRITE: Duration = Duration::from_secs(4);

/// Attempts to create an event.
const EVENT_TRIES: u32 = 6;
/// Between two of them.
const EVENT_AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Why nothing was written, or perhaps not.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was not tried.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// It may have been done or not.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
    /// Somebody else was faster: to be computed anew from what is there now.
    #[error("the object has changed meanwhile")]
    Conflict,
    /// It is gone.
    #[error("the object is gone")]
    Gone,
    /// The API server says no, now or when it was asked last.
    #[error("the API server refuses it: {}", .0.words)]
    Refused(Refusal),
    /// Anything else.
    #[error("the API server: {}", sentence(.0))]
    Api(#[source] Error),
}

impl WriteError {
    /// The object is another one by now.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::Conflict | Self::Gone)
    }
}

impl From<CallError> for WriteError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout(limit) => Self::Timeout(limit),
            CallError::Api(Error::Api(status)) if status.code == 409 => Self::Conflict,
            CallError::Api(Error::Api(status)) if status.code == 404 => Self::Gone,
            CallError::Api(error) => Self::Api(error),
        }
    }
}

/// Writes to the API server.
#[derive(Clone)]
pub struct Writes {
    client: Client,
    fence: Fence,
    metrics: Arc<Metrics>,
    refusals: Arc<Refusals>,
    recorder: Recorder,
}

impl Writes {
    /// Through this client, as long as the fence is open; events in the name of `reporter`.
    pub fn new(client: Client, fence: Fence, metrics: Arc<Metrics>, reporter: Reporter) -> Self {
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, fence, metrics, refusals: Arc::default(), recorder }
    }

    /// A StockWatch is gone.
    pub fn forget(&self, key: &Key) {
        self.refusals.forget(key);
    }

    /// Applies an owned object, as `body`; `force` takes fields from others, and is only for an object that is ours.
    pub async fn apply(
        &self,
        key: &Key,
        desired: &Desired,
        body: &Value,
        force: bool,
    ) -> Result<DynamicObject, WriteError> {
        let kind = desired.kind;
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &kind.resource());
        let params = PatchParams { force, ..PatchParams::apply(MANAGER) };
        let (name, patch) = (names::owned(&key.name), Patch::Apply(body));
        self.asked(key, (Write::Apply, Some(kind)), &desired.hash, async {
            if kind == Kind::Deployment {
                return api.patch(&name, &params, &patch).await;
            }
            // Their content is known, and may be large.
            let partial = api.patch_metadata(&name, &params, &patch).await?;
            Ok(DynamicObject { types: partial.types, metadata: partial.metadata, data: Value::Null })
        })
        .await
    }

    /// Applies a status of this generation; `body` names the resourceVersion that it was computed from.
    pub async fn status(&self, key: &Key, body: &Value, generation: i64) -> Result<StockWatch, WriteError> {
        self.status_as(key, body, generation, STATUS_MANAGER).await
    }

    /// [`Writes::status`] under another manager's name, which leaves what that of the status said alone.
    pub async fn status_as(
        &self,
        key: &Key,
        body: &Value,
        generation: i64,
        manager: &str,
    ) -> Result<StockWatch, WriteError> {
        let api: Api<StockWatch> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PatchParams::apply(manager).force();
        let patch = Patch::Apply(body);
        let call = api.patch_status(&key.name, &params, &patch);
        self.asked(key, (Write::Status, None), &generation.to_string(), call).await
    }

    /// Sets a StockWatch's finalizers, unless it has changed since `resource_version`.
    pub async fn finalizers(
        &self,
        key: &Key,
        resource_version: &str,
        finalizers: &[String],
    ) -> Result<StockWatch, WriteError> {
        let api: Api<StockWatch> = Api::namespaced(self.client.clone(), &key.namespace);
        let metadata = serde_json::json!({"resourceVersion": resource_version, "finalizers": finalizers});
        let patch = Patch::Merge(serde_json::json!({"metadata": metadata}));
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let call = api.patch(&key.name, &params, &patch);
        self.asked(key, (Write::Finalizer, None), &finalizers.join(","), call).await
    }

    /// Deletes the Deployment with this uid; its pods follow.
    pub async fn delete_deployment(&self, key: &Key, uid: &str) -> Result<(), WriteError> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &key.namespace);
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let name = names::owned(&key.name);
        let call = api.delete(&name, &params);
        match self.asked(key, (Write::Delete, Some(Kind::Deployment)), uid, call).await {
            Ok(_) | Err(WriteError::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates an event. No later reconcile says it again, so it is tried some more times where the API server does not
    /// answer, or cannot.
    pub async fn event(&self, event: &Event, about: &ObjectReference) -> Result<(), WriteError> {
        let mut tries = 0;
        loop {
            let Err(error) = self.fenced(Write::Event, self.recorder.publish(event, about)).await? else {
                return Ok(());
            };
            tries += 1;
            let is_no = |status: &Status| status.code == 404 || is_refusal(status);
            if tries == EVENT_TRIES || matches!(&error, CallError::Api(Error::Api(status)) if is_no(status)) {
                return Err(error.into());
            }
            sleep(EVENT_AGAIN.after(tries, fastrand::f64())).await;
        }
    }

    /// Makes a request, unless one of the same form was refused and is not due again.
    async fn asked<T>(
        &self,
        key: &Key,
        (write, kind): (Write, Option<Kind>),
        form: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, WriteError> {
        let request = Request { key: key.clone(), write, kind };
        if let Some(refusal) = self.refusals.standing(&request, form, Instant::now()) {
            return Err(WriteError::Refused(refusal));
        }
        match self.fenced(write, call).await? {
            Ok(done) => {
                self.refusals.end(&request);
                Ok(done)
            }
            Err(CallError::Api(Error::Api(status))) if is_refusal(&status) => {
                let object = kind.map_or("StockWatch", Kind::as_str);
                let refusal = self.refusals.note(request, form, &status, Instant::now());
                let Refusal { code, words, .. } = &refusal;
                tracing::warn!(
                    stockwatch = %key, write = write.as_str(), object, code, words, retry = ?refusal.wait(),
                    "the API server refuses a write"
                );
                Err(WriteError::Refused(refusal))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a request if this process surely holds the Lease.
    async fn fenced<T>(
        &self,
        write: Write,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, CallError>, NotLeader> {
        self.fence.check()?;
        let ended = bounded(WRITE, call).await;
        let refused = matches!(&ended, Err(CallError::Api(Error::Api(status))) if is_refusal(status));
        let counted = if refused { &self.metrics.refused } else { &self.metrics.writes };
        counted.get_or_create(&write).inc();
        Ok(ended)
    }
}
