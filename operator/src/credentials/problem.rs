//! Why Secrets cannot be used, or not be read.

use crate::bounded::CallError;
use crate::reconcile::{ObjectProblem, Trouble};
use crate::status::Reason;

/// Why there is no connection as the spec says, as a condition says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// The condition's reason.
    pub reason: Reason,
    /// A sentence that says what to do.
    pub message: String,
}

impl SecretProblem {
    /// What a status says where the pods may not have the Secret.
    pub fn of_pods(self) -> ObjectProblem {
        ObjectProblem { kind: "Secret", name: String::new(), trouble: Trouble::Secret(self) }
    }
}

/// The API server could not be asked for a Secret.
#[derive(Debug, thiserror::Error)]
#[error("Secret {name}: {source}")]
pub struct ReadError {
    pub(super) name: String,
    pub(super) source: CallError,
}

impl ReadError {
    /// What a status says of it.
    pub fn problem(&self) -> ObjectProblem {
        ObjectProblem { kind: "Secret", name: self.name.clone(), trouble: Trouble::Unanswered }
    }
}
