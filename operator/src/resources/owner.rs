//! The StockWatch as its objects name it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::ObjectMeta;
use stockwatch_crds::StockWatch;

use crate::names;

/// Who owns the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl Owner {
    /// `None` for an object that no API server has stored.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            namespace: metadata.namespace.clone()?,
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
        })
    }

    /// The metadata of every owned object.
    pub(super) fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(names::owned(&self.name)),
            namespace: Some(self.namespace.clone()),
            labels: Some(names::labels(&self.name)),
            owner_references: Some(vec![OwnerReference {
                api_version: StockWatch::api_version(&()).into_owned(),
                kind: StockWatch::kind(&()).into_owned(),
                name: self.name.clone(),
                uid: self.uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        }
    }
}
