//! Calls to the API server, bounded in time.

use std::time::Duration;

use tokio::time::timeout;

/// For one read.
pub const READ: Duration = Duration::from_secs(3);

/// Why a call to the API server has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It may have been done or not.
    #[error("the API server did not answer within {0:?}")]
    Timeout(Duration),
    /// The API server's own answer, or the client's failure to reach it.
    #[error("the API server: {}", sentence(.0))]
    Api(#[from] kube::Error),
}

/// An error as a sentence: kube prints an answer's whole structure after it.
pub(crate) fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.to_string(),
        other => other.to_string(),
    }
}

/// Waits for a call's result, for `limit` at most.
pub async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    Ok(timeout(limit, call).await.map_err(|_| CallError::Timeout(limit))??)
}
