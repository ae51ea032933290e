//! Whose a topic is, by evidence: what the status says, and what became of this process's own calls to create it.
//!
//! A topic is announced in the status before it is created, so that a crash in between does not lose whose it is. It is
//! ours once the brokers answer that they created it, or if it is there after a call whose answer was lost. If they
//! refuse to create it, the announcement is taken back, and made again only once they say, of a call that is only
//! validated, that they would: whoever makes the topic meanwhile is somebody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use stockwatch_crds::v1alpha1::TopicState;

use super::found::FoundTopics;
use super::wanted::{Wanted, WantedTopic};

/// What is done about a topic that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The status says first that it is going to be created.
    Announce,
    /// It is created.
    Create,
    /// The brokers are asked whether they would create it.
    Validate,
}

/// What became of this process's calls to create the topics of one StockWatch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Creations {
    /// Done, and perhaps not in the status yet.
    created: BTreeSet<String>,
    /// Refused, or made by somebody else.
    refused: BTreeSet<String>,
    /// Perhaps done: the answer was lost, or an earlier process called and ended.
    unanswered: BTreeSet<String>,
}

impl Creations {
    /// For a StockWatch that this process has not seen before: what its status announces, an earlier process may have
    /// created.
    pub(super) fn of(wanted: &Wanted) -> Self {
        let mut creations = Self::default();
        creations.lose_answers(wanted);
        creations
    }

    /// No answer came to calls that may have created what the status announces.
    pub(super) fn lose_answers(&mut self, wanted: &Wanted) {
        let announced = wanted.topics.iter().filter(|topic| topic.state == Some(TopicState::Creating));
        let names = announced.map(|topic| topic.name.clone()).filter(|name| !self.refused.contains(name));
        self.unanswered.extend(names.collect::<Vec<_>>());
    }

    /// No answer came to a call for this topic.
    pub(super) fn lose_answer(&mut self, name: &str) {
        self.unanswered.insert(name.to_owned());
    }

    /// The brokers created it.
    pub(super) fn succeed(&mut self, name: &str) {
        self.allow(name);
        self.unanswered.remove(name);
        self.created.insert(name.to_owned());
    }

    /// The brokers would create it.
    pub(super) fn allow(&mut self, name: &str) {
        self.refused.remove(name);
    }

    /// It is gone: what is there next was made by another call.
    pub(super) fn forget(&mut self, name: &str) {
        self.created.remove(name);
        self.unanswered.remove(name);
    }

    /// The brokers refused to create it.
    pub(super) fn refuse(&mut self, name: &str) {
        self.forget(name);
        self.refused.insert(name.to_owned());
    }

    /// The brokers say that it is there already: by a call of ours without an answer, or else by somebody.
    pub(super) fn exists(&mut self, name: &str) {
        if !self.may_have_made(name) {
            self.refused.insert(name.to_owned());
        }
    }

    /// Whether a topic that is there is there by a call of ours, as far as is known.
    fn may_have_made(&self, name: &str) -> bool {
        self.created.contains(name) || self.unanswered.contains(name)
    }

    /// Whether the last call to create it was refused.
    pub(super) fn is_refused(&self, name: &str) -> bool {
        self.refused.contains(name)
    }

    /// What is done about a topic that is not there.
    pub(super) fn missing(&self, topic: &WantedTopic) -> Missing {
        match topic.state {
            _ if self.is_refused(&topic.name) => Missing::Validate,
            Some(TopicState::Creating) => Missing::Create,
            _ => Missing::Announce,
        }
    }

    /// The wish with the states that the evidence leaves: a topic that was announced, but that somebody else made, has
    /// none.
    pub(super) fn evident(&self, wanted: &Arc<Wanted>, found: &FoundTopics) -> Arc<Wanted> {
        let is_anothers = |topic: &WantedTopic| {
            topic.state == Some(TopicState::Creating)
                && found.contains_key(&topic.name)
                && !self.may_have_made(&topic.name)
        };
        if !wanted.topics.iter().any(is_anothers) {
            return Arc::clone(wanted);
        }
        let mut evident = Wanted::clone(wanted);
        evident.topics.iter_mut().filter(|topic| is_anothers(topic)).for_each(|topic| topic.state = None);
        Arc::new(evident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::fixtures::{stockwatch, topics, wanted};

    fn announced() -> Arc<Wanted> {
        let mut wanted = wanted(stockwatch("tech", 1));
        wanted.topics.iter_mut().for_each(|topic| topic.state = Some(TopicState::Creating));
        Arc::new(wanted)
    }

    /// Whether the first topic, now that it is there, is still taken for ours.
    fn is_ours(wanted: &Arc<Wanted>, creations: &Creations) -> bool {
        creations.evident(wanted, &topics(wanted, 4)).topics[0].is_ours()
    }

    #[test]
    fn a_topic_is_ours_by_our_own_calls_answer_alone() {
        let (wanted, mut creations) = (announced(), Creations::default());
        let topic = &wanted.topics[0];
        assert!(!is_ours(&wanted, &creations), "somebody was faster than our call");
        assert_eq!(creations.missing(topic), Missing::Create);
        creations.refuse(&topic.name);
        assert_eq!(creations.missing(topic), Missing::Validate);
        assert!(!is_ours(&wanted, &creations), "an admin made it after the refusal");
        creations.allow(&topic.name);
        assert_eq!(creations.missing(topic), Missing::Create);
        creations.succeed(&topic.name);
        assert!(is_ours(&wanted, &creations));
    }

    #[test]
    fn one_that_exists_is_ours_after_a_call_whose_answer_is_missing() {
        let wanted = announced();
        let name = &wanted.topics[0].name;
        let mut called = Creations::default();
        called.exists(name);
        assert!(called.is_refused(name), "it is hidden from us");
        let mut lost = Creations::default();
        lost.lose_answer(name);
        lost.exists(name);
        assert!(!lost.is_refused(name) && is_ours(&wanted, &lost));
        let mut crashed = Creations::of(&wanted);
        assert!(is_ours(&wanted, &crashed), "an earlier process announced it");
        crashed.refuse(name);
        crashed.lose_answers(&wanted);
        assert!(!is_ours(&wanted, &crashed), "a refusal is an answer");
    }
}
