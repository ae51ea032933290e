//! The benchmark ends at its first error and prints it.

/// What ended the benchmark.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
/// A step of the benchmark.
pub(crate) type Result<T> = std::result::Result<T, Error>;
