//! A benchmark ends at its first error: the sentence is all that is left of it.

/// What ended the benchmark.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
/// A step of the benchmark.
pub(crate) type Result<T> = std::result::Result<T, Error>;
