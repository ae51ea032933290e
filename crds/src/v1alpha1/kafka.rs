//! How to reach Kafka, and the names of a StockWatch there.

use std::collections::BTreeMap;

use kube::KubeSchema;
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::oauth::{OAuthSpec, SAY_NEEDS_OAUTH};
use super::secret::{ClientSecretRef, PasswordSecretRef, SecretKeyRef};
use crate::limits::{
    MAX_BOOTSTRAP_SERVERS, MAX_KAFKA_NAME, MAX_PARTITIONS, MAX_REPLICATION_FACTOR, MAX_SETTING_KEY,
    MAX_SETTING_VALUE, MAX_SETTINGS, MAX_USERNAME,
};

const IS_KAFKA_NAME: &str = "self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..'";
const SAY_KAFKA_NAME: &str = "a name in Kafka is a-z, A-Z, 0-9, '.', '_' and '-', but not \".\" and \"..\"";
// A name, an IPv4 address or an IPv6 address in brackets, and a port; the same again after each comma.
const IS_BOOTSTRAP_SERVERS: &str = "self.matches('^([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]{1,5}\
    (,([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]{1,5})*$')";
pub(crate) const SAY_NO_KERBEROS: &str = "Kerberos (GSSAPI) is not supported: use SCRAM-SHA-512";
pub(crate) const SAY_READABLE: &str = "PLAIN sends the password as it is, OAUTHBEARER the token: set tls as well, \
    or use SCRAM-SHA-256 or SCRAM-SHA-512";
pub(crate) const SAY_NO_MSK_IAM: &str =
    "AWS_MSK_IAM is not supported: switch SCRAM-SHA-512 or mutual TLS (tls.clientSecret) on in MSK";

/// Refuses to change, add or remove the member at `path`, such as `topics.rawInput.name`, unless a CEL text such as
/// `!has(oldSelf.x) || ` comes before.
///
/// The long form on purpose: optional chaining (`.?`) breaks the API server's cost budget.
pub(super) fn immutable(path: &str, unless: &str) -> Rule {
    let has = |root: &str| {
        let ends = path.match_indices('.').map(|(i, _)| i).chain([path.len()]);
        ends.map(|end| format!("has({root}.{})", &path[..end])).collect::<Vec<_>>().join(" && ")
    };
    let (new, old) = (has("self"), has("oldSelf"));
    let message = format!(
        "{path} cannot be changed, added or removed after creation, since the worker's state hangs on it: \
         create another StockWatch"
    );
    let same = format!("({new}) == ({old}) && (!({new}) || self.{path} == oldSelf.{path})");
    let rule = if unless.is_empty() { same } else { format!("{unless}({same})") };
    Rule::new(rule).message(&*message)
}

/// The Kafka cluster, and the names of a StockWatch there.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.sasl) || (self.sasl.mechanism != 'PLAIN' && self.sasl.mechanism != 'OAUTHBEARER') || has(self.tls)"
    )
    .message(SAY_READABLE),
    validation = Rule::new(
        "!has(self.topics) || !has(self.topics.rawInput) || !has(self.topics.rawInput.partitions) || \
         !has(self.topics.afterDedupStorageTable) || !has(self.topics.afterDedupStorageTable.partitions) || \
         self.topics.rawInput.partitions == self.topics.afterDedupStorageTable.partitions"
    )
    .message("rawInput and afterDedupStorageTable have the same number of partitions: \
        each raw partition keeps its state in the table's partition of its number"),
    validation = Rule::new(
        "!has(self.topics) || !has(self.topics.afterDedupStorageTable) || \
         !has(self.topics.afterDedupStorageTable.config) || \
         !('cleanup.policy' in self.topics.afterDedupStorageTable.config) || \
         self.topics.afterDedupStorageTable.config['cleanup.policy'] == 'compact'"
    )
    .message("cleanup.policy of afterDedupStorageTable can only be \"compact\": \
        any other would delete the state that a worker restores"),
    validation = Rule::new(
        "!has(self.topics) || !has(self.topics.rawInput) || !has(self.topics.rawInput.config) || \
         !('cleanup.policy' in self.topics.rawInput.config) || \
         !self.topics.rawInput.config['cleanup.policy'].contains('compact')"
    )
    .message("cleanup.policy of rawInput cannot have \"compact\": \
        it would remove quotes that a worker has yet to compute"),
    validation = immutable("groupId", ""),
    validation = immutable("topics.rawInput.name", ""),
    validation = immutable("topics.afterDedupStream.name", ""),
    validation = immutable("topics.afterDedupStorageTable.name", ""),
    validation = immutable("topics.averagesOutput.name", ""),
    validation = immutable("topics.deviationAlarm.name", ""),
    validation = immutable("topics.deadLetter.name", ""),
)]
pub struct KafkaSpec {
    /// Where to find the cluster: host:port, separated by commas, such as kafka.kafka:9092.
    #[schemars(length(min = 3, max = MAX_BOOTSTRAP_SERVERS))]
    #[x_kube(validation = Rule::new(
        IS_BOOTSTRAP_SERVERS
    ).message("brokers are host:port, separated by commas without spaces, such as kafka.kafka:9092"))]
    pub bootstrap_servers: String,

    /// Encrypts the connection; host names are always verified. An empty object: with the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// Authenticates by user name and password, or by tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,

    /// The consumer group. Cannot be changed. Absent: <namespace>.<name>.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_KAFKA_NAME))]
    #[x_kube(validation = Rule::new(IS_KAFKA_NAME).message(SAY_KAFKA_NAME))]
    pub group_id: Option<String>,

    /// The topics' names, counts and settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<TopicsSpec>,

    /// What becomes of the topics that this StockWatch created when it is deleted. Absent: Retain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What becomes of the topics when their StockWatch is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// Those that the StockWatch created are deleted, with the consumer group.
    Delete,
}

/// TLS to the brokers.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// The certificate authority of the brokers. Absent: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKeyRef>,
    /// A Secret with the certificate and the key with which the client shows who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ClientSecretRef>,
}

/// Who logs in, and how.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.username) || !has(self.secret.usernameKey)")
        .message("username is the user's name itself, usernameKey the Secret's key of it: write one of them"),
    validation = Rule::new("has(self.oauth) == (self.mechanism == 'OAUTHBEARER')").message(SAY_NEEDS_OAUTH),
)]
pub struct SaslSpec {
    /// How they are proved; PLAIN and OAUTHBEARER only with tls.
    #[x_kube(
        validation = Rule::new("self != 'GSSAPI'").message(SAY_NO_KERBEROS),
        validation = Rule::new("self != 'AWS_MSK_IAM'").message(SAY_NO_MSK_IAM)
    )]
    pub mechanism: Mechanism,
    /// The user's name or the client's id, where the Secret has the password alone. Absent: as the Secret says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_USERNAME))]
    #[x_kube(validation = Rule::new("!self.matches('[\\\\p{Cc}]')")
        .message("a user's name has no control characters"))]
    pub username: Option<String>,
    /// The Secret with the password, or with the client's secret.
    pub secret: PasswordSecretRef,
    /// Where the tokens of OAUTHBEARER come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuthSpec>,
}

/// A SASL mechanism.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The password as it is.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A challenge, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A challenge, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token of an identity provider.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// Kerberos: here only to be refused with a sentence.
    #[serde(rename = "GSSAPI")]
    Gssapi,
    /// AWS MSK's own: here only to be refused with a sentence.
    #[serde(rename = "AWS_MSK_IAM")]
    AwsMskIam,
}

impl Mechanism {
    /// Whether who reads the connection could log in with what is sent.
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Plain | Self::OauthBearer)
    }

    /// Kafka's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Gssapi => "GSSAPI",
            Self::AwsMskIam => "AWS_MSK_IAM",
        }
    }
}

/// The topics.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicsSpec {
    /// Quotes as fetched. Absent name: <namespace>.<name>.raw-input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_input: Option<TopicSpec>,
    /// Quotes without duplicates. Absent name: <namespace>.<name>.after-dedup-stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_dedup_stream: Option<TopicSpec>,
    /// The last accepted quote and the checkpoint of each entity; compacted, with as many partitions as
    /// rawInput. Absent name: <namespace>.<name>.after-dedup-storage-table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_dedup_storage_table: Option<TopicSpec>,
    /// Moving averages. Absent name: <namespace>.<name>.averages-output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averages_output: Option<TopicSpec>,
    /// Alarms. Absent name: <namespace>.<name>.deviation-alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation_alarm: Option<TopicSpec>,
    /// Records that are no quotes. Absent name: <namespace>.<name>.dead-letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<TopicSpec>,
    /// What the paper accounts do; only with spec.trade. Its name can be set until there is one, and is
    /// <namespace>.<name>.ledger if absent. Kept for ever unless retention.ms says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<TopicSpec>,
}

/// A map of texts, with limits that the derive has no words for.
fn settings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_SETTINGS,
        "additionalProperties": {"type": "string", "maxLength": MAX_SETTING_VALUE},
    })
}

/// One topic.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// Its name in Kafka. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_KAFKA_NAME))]
    #[x_kube(validation = Rule::new(IS_KAFKA_NAME).message(SAY_KAFKA_NAME))]
    pub name: Option<String>,
    /// How many partitions to create it with. Absent: the broker's default; for an output topic
    /// as many as rawInput.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_PARTITIONS))]
    pub partitions: Option<i32>,
    /// How many replicas to create it with. Absent: the broker's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_REPLICATION_FACTOR))]
    pub replication_factor: Option<i32>,
    /// Kafka's settings of it, such as retention.ms: "604800000"; at most 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "settings")]
    #[x_kube(validation = Rule::new(format!("self.all(key, key.size() <= {MAX_SETTING_KEY})"))
        .message("the name of a setting has at most 64 characters"))]
    pub config: Option<BTreeMap<String, String>>,
    /// False: without settings that config does not name, for brokers that refuse some of them; of
    /// afterDedupStorageTable cleanup.policy=compact stays. Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<bool>,
}
