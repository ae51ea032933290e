//! TopicsReady.

use stockwatch_crds::v1alpha1::TopicState;

use super::condition::{Condition, Reason, Statement};
use super::seen::{Said, Seen};
use crate::topics::Observed;

const AS_WANTED: &str = "the topics are there, as wanted";
/// The same where event times are bounded by the clocks of whoever writes quotes.
const WRITERS_STAMP: &str = "the topics are there, as wanted; records of the raw topic carry their writers' time \
    (message.timestamp.type=CreateTime), so a writer whose clock is fast can have an entity's quotes be late for as \
    long: LogAppendTime has brokers stamp them";

pub(super) fn statement(seen: &Seen<'_>) -> Said {
    let asking = Statement::unknown(Reason::AskingKafka, "Kafka has not answered yet");
    if seen.spec.is_err() {
        return seen.as_before(Condition::TopicsReady, asking);
    }
    if let Some(problem) = seen.access {
        return seen.now(Statement::no(problem.reason, problem.message.clone()));
    }
    match seen.kafka {
        None | Some(Observed::Pending) => seen.as_before(Condition::TopicsReady, asking),
        Some(Observed::Unreachable(problem)) | Some(Observed::Known { problem: Some(problem), .. }) => {
            seen.now(Statement::no(Reason::Kafka(problem.reason), problem.message.clone()))
        }
        Some(Observed::Known { topics, problem: None, writers_stamp, .. }) => {
            let creating = topics.iter().any(|topic| topic.state == TopicState::Creating);
            seen.now(if creating {
                Statement::unknown(Reason::CreatingTopics, "the missing topics are being created")
            } else {
                Statement::yes(Reason::TopicsAsWanted, if *writers_stamp { WRITERS_STAMP } else { AS_WANTED })
            })
        }
    }
}
