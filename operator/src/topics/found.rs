//! The topics of a cluster, as its metadata shows them.

use std::collections::HashMap;

/// A topic as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FoundTopic {
    pub(super) partitions: i32,
    /// `None` where the partitions differ, as while they are moved.
    pub(super) replication_factor: Option<i32>,
}

/// The topics that are there, by name.
pub(super) type FoundTopics = HashMap<String, FoundTopic>;
