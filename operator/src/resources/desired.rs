//! An owned object as it is to be applied.

use serde::Serialize;
use serde_json::{Error, Value};
use sha2::{Digest, Sha256};

use super::Kind;
use crate::names;

/// An owned object as it is to be applied, and the hash of that form, which is also on the object.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Its kind.
    pub kind: Kind,
    /// The body of the apply.
    pub body: Value,
    /// Of the body without the hash.
    pub hash: String,
}

impl Desired {
    /// The object with its hash.
    pub(super) fn new<K: Serialize>(kind: Kind, object: &K) -> Result<Self, Error> {
        let mut body = serde_json::to_value(object)?;
        let hash = digest(&body)?;
        body["metadata"]["annotations"][names::HASH] = Value::String(hash.clone());
        Ok(Self { kind, body, hash })
    }

    /// One of its annotations.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.body["metadata"]["annotations"][name].as_str()
    }
}

/// Returns a digest of an object's JSON.
pub(crate) fn digest<T: Serialize>(of: &T) -> Result<String, Error> {
    let digest = Sha256::digest(serde_json::to_value(of)?.to_string());
    Ok(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}
