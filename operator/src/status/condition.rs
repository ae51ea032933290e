//! Conditions and their reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition as ApiCondition;
use stockwatch_crds::StockWatchStatus;

use crate::topics;

/// A condition of a StockWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Everything works as the spec says.
    Ready,
    /// The topics are there, as the spec says.
    TopicsReady,
    /// As many workers as wanted are ready.
    WorkerAvailable,
    /// Every ready worker computes with this generation.
    ConfigApplied,
    /// The workers get the quotes that are to be expected; Ready does not depend on it.
    QuotesFlow,
    /// It is not Ready, and may become so by itself; for kstatus.
    Reconciling,
    /// It is not Ready, and somebody has to do something; for kstatus.
    Stalled,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::TopicsReady,
        Self::WorkerAvailable,
        Self::ConfigApplied,
        Self::QuotesFlow,
        Self::Reconciling,
        Self::Stalled,
    ];

    /// The one of this type; `None`: somebody else's.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == text)
    }

    /// Its type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::TopicsReady => "TopicsReady",
            Self::WorkerAvailable => "WorkerAvailable",
            Self::ConfigApplied => "ConfigApplied",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::QuotesFlow => "QuotesFlow",
        }
    }
}

/// What a status says of a condition.
pub fn said(status: &StockWatchStatus, condition: Condition) -> Option<&ApiCondition> {
    status.conditions.iter().find(|said| said.type_ == condition.as_str())
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It holds.
    True,
    /// It does not, and somebody has to do something.
    False,
    /// It is still in progress, or cannot be observed.
    Unknown,
}

impl Holds {
    /// As a condition's status has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Of a condition's status.
    pub fn of(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// Why a condition holds or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Everything works as the spec says.
    Working,
    /// `spec.suspend`: no worker is wanted.
    Suspended,
    /// `spec.worker.replicas` is 0: no worker is wanted.
    NoWorkers,
    /// The annotation `stockwatch.dev/paused`: nothing is reconciled.
    Paused,
    /// A field breaks a rule, or cannot be read at all.
    InvalidSpec,
    /// Two tickers have the same entity name.
    DuplicateEntity,
    /// An object of a name that is needed belongs to someone else.
    NameConflict,
    /// The objects of an older StockWatch of this name are still being deleted.
    WaitingForDeletion,
    /// It is deleted, and its finalizer waits for Kafka or for its pods.
    DeletionWaits,
    /// The API server, or a policy in it, refuses an object as it is wanted.
    ObjectRefused,
    /// The API server does not answer, or cannot.
    ApiServerUnavailable,
    /// The API server has not answered a write for minutes: a webhook may hang.
    WritesTimeOut,

    /// The operator may not read a Secret.
    SecretNotReadable,
    /// A Secret is not there.
    SecretMissing,
    /// A Secret does not carry the label that lets a StockWatch use it.
    SecretNotLabelled,
    /// A Secret has not the keys or the form that its field needs.
    SecretInvalid,
    /// Kafka has not answered yet.
    AskingKafka,
    /// Topics are being created.
    CreatingTopics,
    /// The topics are as wanted.
    TopicsAsWanted,
    /// What the Kafka administration found.
    Kafka(topics::KafkaReason),

    /// As many workers as wanted are ready.
    WorkersReady,
    /// The workers start once the topics are there.
    WaitingForTopics,
    /// The workers start once the objects that they need are there.
    WaitingForObjects,
    /// The workers keep their connection until the new one is known to work.
    WaitingForConnection,
    /// The workers wait for their turn to be replaced.
    WaitingForTurn,
    /// The workers work, and an upgrade of the operator does not reach them: it failed elsewhere.
    UpgradeHalted,
    /// Workers start, or are replaced one by one.
    WorkersStarting,
    /// Workers did not become ready in time.
    WorkersNotStarting,
    /// Workers that were ready are not any more.
    WorkersNotReady,
    /// No worker may run as things are.
    WorkersStopped,

    /// Every ready worker computes with this generation.
    Applied,
    /// The workers are taking this generation in.
    Applying,
    /// No worker is ready to be asked.
    NoReadyWorkers,
    /// A worker cannot be asked.
    WorkersUnreachable,
    /// A worker refuses this generation.
    SpecRefused,
}

impl Reason {
    /// As a condition's reason has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "Working",
            Self::Suspended => "Suspended",
            Self::NoWorkers => "NoWorkers",
            Self::Paused => "Paused",
            Self::InvalidSpec => "InvalidSpec",
            Self::DuplicateEntity => "DuplicateEntity",
            Self::NameConflict => "NameConflict",
            Self::WaitingForDeletion => "WaitingForDeletion",
            Self::DeletionWaits => "DeletionWaits",
            Self::ObjectRefused => "ObjectRefused",
            Self::ApiServerUnavailable => "ApiServerUnavailable",
            Self::WritesTimeOut => "WritesTimeOut",
            Self::SecretNotReadable => "SecretNotReadable",
            Self::SecretMissing => "SecretMissing",
            Self::SecretNotLabelled => "SecretNotLabelled",
            Self::SecretInvalid => "SecretInvalid",
            Self::AskingKafka => "AskingKafka",
            Self::CreatingTopics => "CreatingTopics",
            Self::TopicsAsWanted => "TopicsAsWanted",
            Self::Kafka(reason) => reason.as_str(),
            Self::WorkersReady => "WorkersReady",
            Self::WaitingForTopics => "WaitingForTopics",
            Self::WaitingForObjects => "WaitingForObjects",
            Self::WaitingForConnection => "WaitingForConnection",
            Self::WaitingForTurn => "WaitingForTurn",
            Self::UpgradeHalted => "UpgradeHalted",
            Self::WorkersStarting => "WorkersStarting",
            Self::WorkersNotStarting => "WorkersNotStarting",
            Self::WorkersNotReady => "WorkersNotReady",
            Self::WorkersStopped => "WorkersStopped",
            Self::Applied => "Applied",
            Self::Applying => "Applying",
            Self::NoReadyWorkers => "NoReadyWorkers",
            Self::WorkersUnreachable => "WorkersUnreachable",
            Self::SpecRefused => "SpecRefused",
        }
    }
}

/// What is said of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whether it holds.
    pub holds: Holds,
    /// Why: a [`Reason`], a `FlowReason`, or what an earlier operator wrote.
    pub reason: String,
    /// A sentence for people; it says what to do where something is to be done.
    pub message: String,
}

impl Statement {
    /// It holds.
    pub fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Holds::True, reason, message)
    }

    /// It does not hold.
    pub fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Holds::False, reason, message)
    }

    /// It is still in progress, or cannot be observed.
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Holds::Unknown, reason, message)
    }

    fn new(holds: Holds, reason: Reason, message: impl Into<String>) -> Self {
        Self { holds, reason: reason.as_str().to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../../docs/conditions.md");

    /// The names of a source's reasons: what its `as_str` maps each variant to.
    fn names(source: &str) -> Vec<&str> {
        let mapped =
            source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""));
        mapped.map(|(_, rest)| rest.trim_end_matches(['"', ','])).collect()
    }

    #[test]
    fn every_reason_says_in_the_documentation_what_to_do() {
        let observed = include_str!("../topics/observed.rs");
        let all = [names(include_str!("condition.rs")), names(observed)].concat();
        assert!(all.contains(&"InvalidSpec") && all.contains(&"TopicMissing") && all.len() > 45, "{all:?}");
        let is_there = |name: &&&str| DOCS.contains(&format!("\n| `{name}` | "));
        let missing: Vec<&&str> = all
            .iter()
            .filter(|name| !is_there(name) && !["True", "False", "Unknown"].contains(name))
            .collect();
        assert!(missing.is_empty(), "docs/conditions.md has no entry for {missing:?}");
        assert!(Condition::ALL.iter().all(|condition| is_there(&&condition.as_str())));
        let flow = names(include_str!("../../../crds/src/flow/verdict.rs"));
        assert!(flow.contains(&"OnlyDeadLetters"), "{flow:?}");
        assert!(flow.iter().all(|name| DOCS.contains(&format!("`{name}`"))), "{flow:?}");
    }
}
