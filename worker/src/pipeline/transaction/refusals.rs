//! What brokers refuse of one raw record. Its transaction is repeated with less of what they refused, so that no record
//! stops the loop.

use std::collections::{BTreeMap, BTreeSet};

/// How often each topic refused what follows from the record that was alone in a failed transaction.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Raw partition and offset.
    record: Option<(i32, i64)>,
    topics: BTreeMap<String, u32>,
}

impl Refusals {
    /// Notes the topics that refused what follows from a record.
    pub(super) fn note(&mut self, record: (i32, i64), topics: BTreeSet<String>) {
        if self.record != Some(record) {
            *self = Self { record: Some(record), topics: BTreeMap::new() };
        }
        for topic in topics {
            *self.topics.entry(topic).or_default() += 1;
        }
    }

    /// Returns the refusals of a record by topic; `None` for every record but the last one noted.
    pub(super) fn of(&self, record: (i32, i64)) -> Option<&BTreeMap<String, u32>> {
        (self.record == Some(record)).then_some(&self.topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_topic_and_only_for_the_last_record() {
        let mut refusals = Refusals::default();
        for topics in [vec!["dead"], vec!["dead", "stream"]] {
            refusals.note((3, 7), topics.into_iter().map(String::from).collect());
        }
        let counted = BTreeMap::from([("dead".to_owned(), 2), ("stream".to_owned(), 1)]);
        assert_eq!(refusals.of((3, 7)), Some(&counted));
        assert_eq!(refusals.of((2, 7)), None);
        refusals.note((3, 8), BTreeSet::new());
        assert_eq!(refusals.of((3, 7)), None);
    }
}
