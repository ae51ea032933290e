//! The metadata of the group's commits, and what a commit says.

use serde::{Deserialize, Serialize};

/// The commit's metadata: who wrote it, where replay begins, and the stamp of the last record computed.
///
/// ```
/// use stockwatch_core::wire::CommitMetadata;
///
/// let metadata = CommitMetadata { owner: "default.tech.tech-0".into(), replay: 95, timestamp: 1_700_000_000_000, released: false };
/// let text = r#"{"owner":"default.tech.tech-0","replay":95,"timestamp":1700000000000,"released":false}"#;
/// assert_eq!(metadata.encode(), text);
/// assert_eq!(CommitMetadata::parse(text), Some(metadata));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitMetadata {
    /// `<group>.<pod name>`: the writer's transactional ids are this and `.0` or `.1`.
    pub owner: String,
    /// The least raw offset that checkpoints do not cover.
    pub replay: i64,
    /// The timestamp in ms of the record before the committed offset; negative if there is none.
    pub timestamp: i64,
    /// The writer gave the partition away with this commit, and has no transaction open on it.
    #[serde(default)]
    pub released: bool,
}

/// What the group committed for a partition: the offset, and the metadata if it is one of ours.
pub type Committed = (i64, Option<CommitMetadata>);

impl CommitMetadata {
    /// Returns the metadata of a commit; `None` if it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns it as text.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts and numbers only: cannot fail
    }

    /// Whether a worker of this group wrote it: nobody who may commit for the group can name a stranger to be fenced.
    pub fn is_of(&self, group: &str) -> bool {
        self.owner.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_of_a_group_are_its_owners() {
        let ours = CommitMetadata { owner: "g.w-0".into(), replay: 1, timestamp: 7, released: false };
        assert!(ours.is_of("g"));
        assert!(!ours.is_of("") && !ours.is_of("h") && !ours.is_of("g.w-0") && !ours.is_of("g.w"));
    }

    #[test]
    fn metadata_that_is_not_ours_says_nothing() {
        for text in ["", "null", "{}", r#"{"owner":"x","replay":1e3,"timestamp":0}"#, r#"{"owner":1}"#] {
            assert_eq!(CommitMetadata::parse(text), None, "{text}");
        }
    }
}
