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
        let digest = Sha256::digest(body.to_string());
        let hash: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        body["metadata"]["annotations"][names::HASH] = Value::String(hash.clone());
        Ok(Self { kind, body, hash })
    }
}
