//! Merges our settings into those of a topic. Pure.
//!
//! AlterConfigs resets every setting that it leaves out, so the topic's own settings are sent along with ours.

use std::collections::BTreeMap;

use stockwatch_crds::{LOG_APPEND_TIME, StateTopic, TIMESTAMP_TYPE};

/// A setting as DescribeConfigs returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    /// `None` where the broker keeps it secret.
    pub(super) value: Option<String>,
    /// Set on the topic itself, not a default.
    pub(super) is_own: bool,
}

impl Setting {
    /// Whether it has records of the raw topic carry the time of their writers.
    pub(super) fn lets_writers_stamp(&self, topic: StateTopic) -> bool {
        topic == StateTopic::RawInput
            && self.name == TIMESTAMP_TYPE
            && self.value.as_deref().is_some_and(|value| value != LOG_APPEND_TIME)
    }
}

/// What the settings of a topic need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Ours are in force.
    Nothing,
    /// The topic's own settings must become these.
    Alter(BTreeMap<String, String>),
    /// The broker knows no such settings.
    Unknown(Vec<String>),
    /// The broker returns nothing, or hides a value that would have to be sent along.
    Hidden,
}

/// Returns what a topic with the settings `is` needs for `ours` to be in force.
pub(super) fn need(is: &[Setting], ours: &BTreeMap<&str, &str>) -> Need {
    if ours.is_empty() {
        return Need::Nothing;
    }
    if is.is_empty() {
        return Need::Hidden;
    }
    let value = |name: &str| is.iter().find(|setting| setting.name == name);
    let unknown = ours.keys().filter(|name| value(name).is_none());
    let unknown: Vec<String> = unknown.map(|name| (*name).to_owned()).collect();
    if !unknown.is_empty() {
        return Need::Unknown(unknown);
    }
    let holds = |name: &str, ours: &str| {
        value(name).and_then(|setting| setting.value.as_deref()).is_some_and(|is| same(is, ours))
    };
    if ours.iter().all(|(name, ours)| holds(name, ours)) {
        return Need::Nothing;
    }
    let mut all = BTreeMap::new();
    for Setting { name, value, .. } in is.iter().filter(|setting| setting.is_own) {
        match value {
            Some(value) => all.insert(name.clone(), value.clone()),
            None if ours.contains_key(name.as_str()) => None,
            None => return Need::Hidden,
        };
    }
    all.extend(ours.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Need::Alter(all)
}

/// Brokers return a value as they parsed it: without spaces, and numbers in their own notation.
fn same(is: &str, ours: &str) -> bool {
    let (mut is_parts, mut our_parts) = (is.split(','), ours.split(','));
    loop {
        match (is_parts.next(), our_parts.next()) {
            (None, None) => return true,
            (Some(is), Some(ours)) if same_word(is.trim(), ours.trim()) => {}
            _ => return false,
        }
    }
}

fn same_word(is: &str, ours: &str) -> bool {
    is.eq_ignore_ascii_case(ours)
        || matches!((is.parse::<i64>(), ours.parse::<i64>()), (Ok(is), Ok(ours)) if is == ours)
        || (is.contains(['.', 'e', 'E'])
            && matches!((is.parse::<f64>(), ours.parse::<f64>()), (Ok(is), Ok(ours)) if is == ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str, is_own: bool) -> Setting {
        Setting { name: name.into(), value: Some(value.into()), is_own }
    }

    fn topic() -> Vec<Setting> {
        vec![
            setting("cleanup.policy", "delete", false),
            setting("retention.ms", "604800000", false),
            setting("segment.ms", "1000", true),
            setting("min.cleanable.dirty.ratio", "0.5", false),
        ]
    }

    fn alter(expected: &[(&str, &str)]) -> Need {
        Need::Alter(expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[test]
    fn what_others_set_is_sent_again_with_ours_laid_over() {
        let ours = BTreeMap::from([("cleanup.policy", "compact")]);
        assert_eq!(need(&topic(), &ours), alter(&[("cleanup.policy", "compact"), ("segment.ms", "1000")]));
        let ours = BTreeMap::from([("segment.ms", "7")]);
        assert_eq!(need(&topic(), &ours), alter(&[("segment.ms", "7")]));
    }

    #[test]
    fn only_a_raw_topic_that_says_create_time_lets_writers_stamp() {
        let says = |value: &str| setting("message.timestamp.type", value, false);
        assert!(says("CreateTime").lets_writers_stamp(StateTopic::RawInput));
        assert!(!says("LogAppendTime").lets_writers_stamp(StateTopic::RawInput));
        assert!(!says("CreateTime").lets_writers_stamp(StateTopic::StorageTable));
        assert!(!setting("segment.ms", "1", true).lets_writers_stamp(StateTopic::RawInput));
    }

    #[test]
    fn nothing_is_sent_where_ours_hold_already() {
        let ours =
            [("cleanup.policy", " Delete"), ("min.cleanable.dirty.ratio", "0.50"), ("segment.ms", "1000 ")];
        assert_eq!(need(&topic(), &BTreeMap::from(ours)), Need::Nothing);
        assert_eq!(need(&topic(), &BTreeMap::new()), Need::Nothing);
        assert_eq!(need(&[], &BTreeMap::new()), Need::Nothing);
    }

    #[test]
    fn lists_are_the_same_whatever_their_spaces() {
        assert!(same("compact,delete", "compact, delete"));
        assert!(!same("compact,delete", "compact"));
        assert!(!same("1", "10"));
    }

    #[test]
    fn a_setting_that_the_broker_does_not_know_is_not_sent() {
        let ours = BTreeMap::from([("retention.millis", "1")]);
        assert_eq!(need(&topic(), &ours), Need::Unknown(vec!["retention.millis".into()]));
    }

    #[test]
    fn what_cannot_be_read_cannot_be_sent_again() {
        let ours = BTreeMap::from([("segment.ms", "1")]);
        assert_eq!(need(&[], &ours), Need::Hidden);
        let mut hiding = topic();
        hiding.push(Setting { name: "secret".into(), value: None, is_own: true });
        assert_eq!(need(&hiding, &ours), Need::Hidden);
    }
}
