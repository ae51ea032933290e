//! Why the API server cannot be asked, or its answer not be understood.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;

/// No object of an API server is so large.
pub(super) const MAX_LINE: usize = 16 << 20;

/// Why the API server did not answer the question.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// This is no pod.
    #[error("{0} is not set: is this a pod?")]
    NoPod(&'static str),
    /// The pod's service account cannot be used.
    #[error("the service account: {}: {source}", path.display())]
    Account {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The authority's certificates make no client.
    #[error("the service account's authority cannot be used: {}", chain(.0))]
    Authority(reqwest::Error),
    /// It cannot be reached.
    #[error("the API server cannot be reached: {}", chain(.0))]
    Unreachable(reqwest::Error),
    /// Nothing came in time.
    #[error("the API server does not answer within {0:?}")]
    Silent(Duration),
    /// It says that there is no such StockWatch.
    #[error("there is no such StockWatch")]
    NotFound,
    /// It refuses.
    #[error("the API server refuses: {status}: {message}")]
    Refused {
        /// Why, as a number.
        status: StatusCode,
        /// Why.
        message: String,
    },
    /// It tells something that cannot be understood.
    #[error(transparent)]
    Event(#[from] EventError),
}

impl From<reqwest::Error> for ApiError {
    /// Without the address, which is the same each time but for its parameters.
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url())
    }
}

/// Why an event cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is longer than any object.
    #[error("an event of the watch has more than {MAX_LINE} bytes")]
    TooLong,
    /// It is no JSON, or not what an event is.
    #[error("what the API server tells cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The server says that the watch cannot go on.
    #[error("the API server ends the watch: {0}")]
    Ended(String),
}

/// An error with all its causes.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // Writing into a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
