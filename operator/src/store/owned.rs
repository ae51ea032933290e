//! What remains of an owned object in memory.

use kube::Resource;
use kube::api::ObjectMeta;
use serde_json::Value;
use stockwatch_crds::StockWatch;

use crate::managed::Fields;
use crate::names;
use crate::rollout::Rollout;

/// An object of the name that a StockWatch's object has.
#[derive(Debug, Clone, PartialEq)]
pub struct Owned {
    /// `metadata.uid`.
    pub uid: String,
    /// The StockWatch that controls it; `None`: none does.
    pub controller: Option<Controller>,
    /// The hash of the form that was applied.
    pub hash: Option<String>,
    /// The fields that are still as applied.
    pub fields: Option<Fields>,
    /// It is being deleted.
    pub deleting: bool,
    /// Of a Deployment.
    pub rollout: Option<Rollout>,
}

/// The StockWatch that controls an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This StockWatch's.
    Ours,
    /// That of an older StockWatch of this name: the garbage collector takes it.
    Older,
    /// Someone else's.
    Foreign,
}

impl Owned {
    pub(crate) fn of(metadata: &ObjectMeta, fields: Option<Fields>, rollout: Option<Rollout>) -> Self {
        let annotations = metadata.annotations.as_ref();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            controller: controller(metadata),
            hash: annotations.and_then(|annotations| annotations.get(names::HASH).cloned()),
            fields,
            deleting: metadata.deletion_timestamp.is_some(),
            rollout,
        }
    }

    /// Whose it is, for the StockWatch of this name and uid.
    pub fn whose(&self, name: &str, uid: &str) -> Whose {
        match &self.controller {
            Some(controller) if controller.uid == uid => Whose::Ours,
            Some(controller) if controller.name == name => Whose::Older,
            _ => Whose::Foreign,
        }
    }

    /// It is what was applied with this hash, and nobody has touched it since.
    pub fn is(&self, hash: &str, body: &Value) -> bool {
        self.hash.as_deref() == Some(hash) && self.fields.as_ref().is_some_and(|fields| fields.cover(body))
    }
}

fn controller(metadata: &ObjectMeta) -> Option<Controller> {
    let owners = metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let group = owner.api_version.split('/').next().unwrap_or_default();
    let is_stockwatch = owner.kind == StockWatch::kind(&()) && group == StockWatch::group(&());
    is_stockwatch.then(|| Controller { name: owner.name.clone(), uid: owner.uid.clone() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn owned(owner: Value) -> Owned {
        let metadata = json!({"name": "tech-stockwatch", "uid": "o", "ownerReferences": [owner]});
        Owned::of(&serde_json::from_value(metadata).unwrap(), None, None)
    }

    fn reference(kind: &str, version: &str, name: &str, uid: &str, controller: bool) -> Value {
        json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller})
    }

    #[test]
    fn an_object_is_ours_by_its_controllers_uid_alone() {
        let version = "stockwatch.dev/v1alpha1";
        let whose = |owner| owned(owner).whose("tech", "u-2");
        assert_eq!(whose(reference("StockWatch", version, "tech", "u-2", true)), Whose::Ours);
        assert_eq!(whose(reference("StockWatch", version, "tech", "u-1", true)), Whose::Older);
        assert_eq!(whose(reference("StockWatch", version, "tech", "u-2", false)), Whose::Foreign);
        assert_eq!(whose(reference("StockWatch", version, "other", "u-1", true)), Whose::Foreign);
        assert_eq!(whose(reference("StockWatch", "example.com/v1", "tech", "u-2", true)), Whose::Foreign);
        assert_eq!(whose(reference("ReplicaSet", "apps/v1", "tech", "u-2", true)), Whose::Foreign);
    }
}
