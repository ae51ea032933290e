//! How to reach Kafka, and the names of a StockWatch there.

use crate::limits::MAX_BOOTSTRAP_SERVERS;
use crate::names::{KAFKA_NAME_RULE, is_kafka_name, is_subdomain};
use crate::problem::{Problems, shown};
use crate::topics::Topics;
use crate::v1alpha1::{DeletionPolicy, KafkaSpec, Mechanism, SaslSpec, SecretKeyRef, TlsSpec};

const DEFAULT_CA_KEY: &str = "ca.crt";

/// How to reach Kafka, and the names of a StockWatch there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Encrypts; `None`: plain text.
    pub tls: Option<Tls>,
    /// Authenticates by password; `None`: not.
    pub sasl: Option<Sasl>,
    /// The consumer group, and the prefix of the transactional ids.
    pub group_id: String,
    /// The topics.
    pub topics: Topics,
    /// What becomes of the topics when the StockWatch is deleted.
    pub deletion_policy: DeletionPolicy,
}

/// TLS, with host names always verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where the brokers' certificate authority is; `None`: the system's.
    pub ca: Option<SecretKey>,
    /// The Secret (`tls.crt`, `tls.key`) with which the client shows who it is.
    pub client: Option<String>,
}

/// One key of a Secret in the StockWatch's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

/// A user name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How they are proved.
    pub mechanism: Mechanism,
    /// The Secret (`username`, `password`).
    pub secret: String,
}

impl Kafka {
    /// `prefix` is `<namespace>.<name>`; `has_ledger`: the StockWatch has accounts.
    pub(crate) fn parse(kafka: &KafkaSpec, has_ledger: bool, prefix: &str, problems: &mut Problems) -> Self {
        if !is_bootstrap_servers(&kafka.bootstrap_servers) {
            problems.add(
                "spec.kafka.bootstrapServers",
                format!(
                    "{} is not a list of brokers: host:port, separated by commas without spaces, \
                     at most {MAX_BOOTSTRAP_SERVERS} characters, such as kafka.kafka:9092",
                    shown(&kafka.bootstrap_servers)
                ),
            );
        }
        if let Some(group) = &kafka.group_id
            && !is_kafka_name(group)
        {
            problems
                .add("spec.kafka.groupId", format!("{} is not a group id: {KAFKA_NAME_RULE}", shown(group)));
        }
        if kafka.tls.is_none() && kafka.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == Mechanism::Plain) {
            problems.add(
                "spec.kafka.sasl.mechanism",
                "PLAIN sends the password as it is: set tls as well, or use SCRAM-SHA-256 or SCRAM-SHA-512",
            );
        }
        Self {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            tls: kafka.tls.as_ref().map(|tls| Tls::parse(tls, problems)),
            sasl: kafka.sasl.as_ref().map(|sasl| Sasl::parse(sasl, problems)),
            group_id: kafka.group_id.clone().unwrap_or_else(|| prefix.to_owned()),
            topics: Topics::parse(kafka.topics.as_ref(), has_ledger, prefix, problems),
            deletion_policy: kafka.deletion_policy.unwrap_or_default(),
        }
    }
}

impl Tls {
    fn parse(tls: &TlsSpec, problems: &mut Problems) -> Self {
        if let Some(client) = &tls.client_secret {
            check_secret_name(&client.name, "spec.kafka.tls.clientSecret.name", problems);
        }
        Self {
            ca: tls.ca_secret.as_ref().map(|ca| SecretKey::parse(ca, problems)),
            client: tls.client_secret.as_ref().map(|secret| secret.name.clone()),
        }
    }
}

impl SecretKey {
    fn parse(ca: &SecretKeyRef, problems: &mut Problems) -> Self {
        check_secret_name(&ca.name, "spec.kafka.tls.caSecret.name", problems);
        let key = ca.key.clone().unwrap_or_else(|| DEFAULT_CA_KEY.to_owned());
        if !matches!(key.len(), 1..=253)
            || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        {
            problems.add(
                "spec.kafka.tls.caSecret.key",
                format!(
                    "{} is not a key of a Secret: 1 to 253 \
                     of a-z, A-Z, 0-9, '-', '_' and '.' are allowed",
                    shown(&key)
                ),
            );
        }
        Self { name: ca.name.clone(), key }
    }
}

impl Sasl {
    fn parse(sasl: &SaslSpec, problems: &mut Problems) -> Self {
        check_secret_name(&sasl.secret.name, "spec.kafka.sasl.secret.name", problems);
        Self { mechanism: sasl.mechanism, secret: sasl.secret.name.clone() }
    }
}

fn is_bootstrap_servers(servers: &str) -> bool {
    servers.len() <= MAX_BOOTSTRAP_SERVERS && servers.split(',').all(is_server)
}

/// A name, an IPv4 address or an IPv6 address in brackets; a colon; a port.
fn is_server(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b))
        }
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)),
    };
    let port_ok = (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    host_ok && port_ok
}

fn check_secret_name(name: &str, path: &str, problems: &mut Problems) {
    if !is_subdomain(name) {
        problems.add(
            path,
            format!(
                "{} is not the name of a Secret: at most 253 of a-z, 0-9, '-' and '.', \
                 starting and ending with a letter or digit",
                shown(name)
            ),
        );
    }
}
