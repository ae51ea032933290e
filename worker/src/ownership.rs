//! Which partitions of the raw topic this process computes.

use std::collections::BTreeSet;

/// The raw partitions that this process owns and has restored: the extractor fetches just their tickers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedPartitions {
    /// Partitions of the raw topic; 0 until known.
    pub partition_count: i32,
    /// Owned and restored.
    pub partitions: BTreeSet<i32>,
}
