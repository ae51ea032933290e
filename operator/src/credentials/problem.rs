//! Why Secrets cannot be used, or not be read.

use crate::bounded::CallError;
use crate::status::Reason;

/// Why there is no connection as the spec says, as a condition says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// The condition's reason.
    pub reason: Reason,
    /// A sentence that says what to do.
    pub message: String,
}

/// The API server could not be asked for a Secret.
#[derive(Debug, thiserror::Error)]
#[error("Secret {name}: {source}")]
pub struct ReadError {
    pub(crate) name: String,
    pub(super) source: CallError,
}
