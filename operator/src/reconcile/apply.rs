//! Makes the owned objects what they should be: nothing is written where nothing changed, and nothing at all is done
//! to an object that is someone else's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use kube::api::{Api, DynamicObject, GetParams};
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::Instant;

use crate::bounded::{CallError, READ, bounded};
use crate::credentials::{ReadError, SecretProblem};
use crate::key::Key;
use crate::managed::Fields;
use crate::names;
use crate::refusals::{Refusal, is_refusal};
use crate::resources::{Desired, Kind, Owner};
use crate::store::{Owned, Store, Whose};
use crate::writes::{WriteError, Writes};

/// Between two reads of what may not be read.
const READ_AGAIN: Duration = Duration::from_secs(40);
/// A version that no object has. An apply that names it creates what is not there, and is a conflict where anything is:
/// the version is compared with an existing object's alone (`Store.Update` of k8s.io/apiserver).
const ABSENT: &str = "1";

/// An object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectProblem {
    /// Its kind, as Kubernetes names it.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What is the matter.
    pub trouble: Trouble,
}

impl ObjectProblem {
    /// The pods may not have a Secret.
    pub fn of_secret(problem: SecretProblem) -> Self {
        Self { kind: "Secret", name: String::new(), trouble: Trouble::Secret(problem) }
    }

    /// A Secret cannot be read.
    pub fn of_read(error: &ReadError) -> Self {
        Self { kind: "Secret", name: error.name.clone(), trouble: Trouble::Unanswered }
    }

    /// A StockWatch's finalizer cannot be set or removed.
    pub fn of_finalizer(name: &str, error: &WriteError) -> Self {
        let trouble = Trouble::of(error);
        Self { kind: "the finalizer of StockWatch", name: name.to_owned(), trouble }
    }
}

/// What is the matter with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is someone else's.
    Foreign,
    /// It is that of an older StockWatch of this name, or is just being deleted.
    Older,
    /// The API server refuses the desired form.
    Refused(Refusal),
    /// The API server does not answer, or cannot: it is tried again soon.
    Unanswered,
    /// A write is not answered in time, and has not been for minutes: most likely a webhook hangs.
    Hangs,
    /// The pods may not be given a Secret.
    Secret(SecretProblem),
}

impl Trouble {
    /// What keeps a write from being done.
    fn of(error: &WriteError) -> Self {
        match error {
            WriteError::Refused(refusal) => Self::Refused(refusal.clone()),
            WriteError::Timeout(_) => Self::Hangs,
            _ => Self::Unanswered,
        }
    }
}

/// What came of applying objects.
#[derive(Debug, Default)]
pub struct Applied {
    /// Those that are not as they should be.
    pub problems: Vec<ObjectProblem>,
    /// Why everything is tried again soon.
    pub failed: Option<ApplyError>,
}

impl Applied {
    pub(super) fn add(&mut self, owner: &Owner, kind: Kind, ended: Result<Option<Trouble>, ApplyError>) {
        let trouble = match ended {
            Ok(None) => return,
            Ok(Some(trouble)) => trouble,
            Err(ApplyError::Refused(refusal)) => Trouble::Refused(refusal),
            Err(error) => {
                let trouble = match &error {
                    ApplyError::Write { source, .. } => Trouble::of(source),
                    _ => Trouble::Unanswered,
                };
                self.failed.get_or_insert(error);
                trouble
            }
        };
        self.problems.push(ObjectProblem { kind: kind.as_str(), name: names::owned(&owner.name), trouble });
    }

    /// Whether first workers would lack something, or use what is someone else's. Pods that wait for an object look for
    /// it minutes apart, so the Deployment waits instead.
    pub fn keeps_from_starting(&self) -> bool {
        let is_needed =
            |problem: &ObjectProblem| Kind::NEEDED_BY_PODS.iter().any(|kind| kind.as_str() == problem.kind);
        self.problems.iter().any(|problem| match problem.trouble {
            Trouble::Foreign | Trouble::Older | Trouble::Secret(_) => true,
            Trouble::Refused(_) | Trouble::Unanswered | Trouble::Hangs => is_needed(problem),
        })
    }
}

/// Why an object is not as it should be and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It could not be looked at.
    #[error("{kind}: cannot be read: {source}")]
    Read {
        /// Its kind.
        kind: Kind,
        /// Why.
        source: CallError,
    },
    /// It could not be written.
    #[error("{kind}: cannot be applied: {source}")]
    Write {
        /// Its kind.
        kind: Kind,
        /// Why.
        source: WriteError,
    },
    /// Reading or writing it is refused.
    #[error("refused: {}", .0.words)]
    Refused(Refusal),
}

/// The hash that was applied, and what the API server's books said after it.
type Settled = (String, Option<Fields>);

/// Applies owned objects.
pub struct Applier {
    client: Client,
    writes: Writes,
    // What the API server's books said after an apply where they do not list every field of the desired form: it is
    // not applied again and again for that.
    settled: Mutex<HashMap<(Key, Kind), Settled>>,
}

impl Applier {
    /// Reads and writes through these.
    pub fn new(client: Client, writes: Writes) -> Self {
        Self { client, writes, settled: Mutex::default() }
    }

    /// All at once, whatever becomes of each, but for the RoleBinding: nobody may bind a role that is not there, or not
    /// ours.
    ///
    /// `fresh`: nothing was ever applied for this StockWatch, as far as its status tells.
    pub async fn all(&self, store: &Store, owner: &Owner, desired: &[Desired], fresh: bool) -> Applied {
        let (bindings, others): (Vec<_>, Vec<_>) =
            desired.iter().partition(|desired| desired.kind == Kind::RoleBinding);
        let mut applied = Applied::default();
        self.each(store, owner, others, fresh, &mut applied).await;
        let role = store.owned_of(&Key::new(&owner.namespace, &owner.name), Kind::Role);
        if role.is_some_and(|role| role.whose(&owner.name, &owner.uid) == Whose::Ours && !role.deleting) {
            self.each(store, owner, bindings, fresh, &mut applied).await;
        }
        applied
    }

    /// Some more, all at once.
    pub async fn each(
        &self,
        store: &Store,
        owner: &Owner,
        desired: impl IntoIterator<Item = &Desired>,
        fresh: bool,
        applied: &mut Applied,
    ) {
        let each = desired
            .into_iter()
            .map(|desired| async move { (desired.kind, self.one(store, owner, desired, fresh).await) });
        for (kind, ended) in join_all(each).await {
            applied.add(owner, kind, ended);
        }
    }

    /// One object; what is the matter with it, if only somebody else can change that.
    async fn one(
        &self,
        store: &Store,
        owner: &Owner,
        desired: &Desired,
        fresh: bool,
    ) -> Result<Option<Trouble>, ApplyError> {
        let kind = desired.kind;
        let key = Key::new(&owner.namespace, &owner.name);
        let found = match store.owned_of(&key, kind) {
            Some(found) => Some(found),
            // Most likely not there: creating it tells. Otherwise a look comes first, since a write that is bound to
            // fail would be repeated by every operator that starts.
            None if fresh => match self.write(store, &key, desired, None).await {
                Err(ApplyError::Write { source: WriteError::Conflict, .. }) => self.look(&key, kind).await?,
                done => return done,
            },
            // Not there, or without our labels.
            None => self.look(&key, kind).await?,
        };
        if let Some(found) = &found {
            match found.whose(&owner.name, &owner.uid) {
                Whose::Foreign => return Ok(Some(Trouble::Foreign)),
                Whose::Older => return Ok(Some(Trouble::Older)),
                Whose::Ours if found.deleting => return Ok(Some(Trouble::Older)),
                Whose::Ours if self.is_as_wanted(&key, desired, found) => return Ok(None),
                Whose::Ours => {}
            }
        }
        self.write(store, &key, desired, found.as_ref()).await
    }

    /// Whatever is there by then under this name, it is written only if it is still what was `found`.
    async fn write(
        &self,
        store: &Store,
        key: &Key,
        desired: &Desired,
        found: Option<&Owned>,
    ) -> Result<Option<Trouble>, ApplyError> {
        let kind = desired.kind;
        let mut body = desired.body.clone();
        match found {
            Some(found) => body["metadata"]["uid"] = Value::String(found.uid.clone()),
            None => body["metadata"]["resourceVersion"] = Value::String(ABSENT.to_owned()),
        }
        match self.writes.apply(key, desired, &body, found.is_some()).await {
            Ok(object) => {
                tracing::info!(stockwatch = %key, %kind, created = found.is_none(), "applied");
                if let Some(owned) = store.learn_owned(kind, object) {
                    self.settle(key, desired, &owned);
                }
                Ok(None)
            }
            Err(WriteError::Refused(refusal)) => Err(ApplyError::Refused(refusal)),
            Err(source) => Err(ApplyError::Write { kind, source }),
        }
    }

    /// A StockWatch is gone.
    pub fn forget(&self, key: &Key) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.retain(|(of, _), _| of != key);
    }

    fn is_as_wanted(&self, key: &Key, desired: &Desired, found: &Owned) -> bool {
        if found.is(&desired.hash, &desired.body) {
            return true;
        }
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        found.hash.as_ref() == Some(&desired.hash)
            && settled
                .get(&(key.clone(), desired.kind))
                .is_some_and(|(hash, fields)| *hash == desired.hash && *fields == found.fields)
    }

    fn settle(&self, key: &Key, desired: &Desired, owned: &Owned) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (key.clone(), desired.kind);
        if owned.is(&desired.hash, &desired.body) {
            settled.remove(&id);
        } else {
            settled.insert(id, (desired.hash.clone(), owned.fields.clone()));
        }
    }

    async fn look(&self, key: &Key, kind: Kind) -> Result<Option<Owned>, ApplyError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &kind.resource());
        let name = names::owned(&key.name);
        // From the API server's memory: it only keeps us from what has been someone else's for longer.
        let any = GetParams::any();
        match bounded(READ, api.get_metadata_opt_with(&name, &any)).await {
            Ok(found) => Ok(found.map(|object| Owned::of(&object.metadata, None, None))),
            Err(CallError::Api(Error::Api(status))) if is_refusal(&status) => {
                Err(ApplyError::Refused(Refusal::of(&status, Instant::now() + READ_AGAIN)))
            }
            Err(source) => Err(ApplyError::Read { kind, source }),
        }
    }
}
