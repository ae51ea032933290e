//! Which StockWatch is meant, and in which form.

use std::collections::BTreeMap;
use std::fmt;

use kube::api::ObjectMeta;

/// Namespace and name of a StockWatch: what is queued, cached and logged by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// Of these texts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of a namespaced object.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self::new(metadata.namespace.clone()?, metadata.name.clone()?))
    }
}

/// What users change of a StockWatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    generation: Option<i64>,
    annotations: Option<BTreeMap<String, String>>,
    is_deleting: bool,
}

impl Revision {
    /// Of a StockWatch.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            generation: metadata.generation,
            annotations: metadata.annotations.clone(),
            is_deleting: metadata.deletion_timestamp.is_some(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
