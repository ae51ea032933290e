//! How to reach one Kafka cluster: addresses and secrets, checked and ready for a client.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use sha2::{Digest, Sha256};
use stockwatch_crds::Mechanism;

/// Secrets that no client can be made of; each names the field and the key of its Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A secret is not what its field needs.
    #[error("{field}: the key {key} of the Secret {problem}")]
    Unusable {
        /// The field that names the Secret.
        field: &'static str,
        /// The key in its data.
        key: &'static str,
        /// What is wrong with the value.
        problem: &'static str,
    },
    /// A password would travel readable.
    #[error("spec.kafka.sasl.mechanism: PLAIN sends the password as it is: set tls as well, or use SCRAM")]
    PlainWithoutTls,
}

/// The TLS material of `spec.kafka.tls`, as the Secrets hold it. Host names are always verified.
#[derive(Clone, Default)]
pub struct Tls {
    /// PEM certificates of the brokers' authority; `None`: the system's.
    pub ca: Option<Vec<u8>>,
    /// With which the client shows who it is.
    pub client: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone)]
pub struct Identity {
    /// PEM, the chain included.
    pub certificate: Vec<u8>,
    /// PEM.
    pub key: Vec<u8>,
}

/// The credentials of `spec.kafka.sasl`, as the Secret holds them.
#[derive(Clone)]
pub struct Sasl {
    /// How they are proved.
    pub mechanism: Mechanism,
    /// The user.
    pub username: Vec<u8>,
    /// The password.
    pub password: Vec<u8>,
}

/// How to reach one Kafka cluster. Two are equal if addresses and secrets are; a clone costs nothing, and
/// neither `Debug` nor any error shows a secret.
#[derive(Clone)]
pub struct Connection(Arc<Parts>);

struct Parts {
    digest: [u8; 32],
    config: ClientConfig,
}

impl Connection {
    /// The connection of `spec.kafka`, with its secrets as read.
    pub fn new(
        bootstrap_servers: &str,
        tls: Option<&Tls>,
        sasl: Option<&Sasl>,
    ) -> Result<Self, ConnectionError> {
        let mut settings = vec![("bootstrap.servers", bootstrap_servers)];
        if let Some(tls) = tls {
            settings.push(("enable.ssl.certificate.verification", "true"));
            settings.push(("ssl.endpoint.identification.algorithm", "https"));
            if let Some(ca) = &tls.ca {
                settings.push(("ssl.ca.pem", pem("spec.kafka.tls.caSecret", "with the certificates", ca)?));
            }
            if let Some(Identity { certificate, key }) = &tls.client {
                let field = "spec.kafka.tls.clientSecret";
                settings.push(("ssl.certificate.pem", pem(field, "with the certificate", certificate)?));
                settings.push(("ssl.key.pem", pem(field, "with the private key", key)?));
            }
        }
        if let Some(Sasl { mechanism, username, password }) = sasl {
            if *mechanism == Mechanism::Plain && tls.is_none() {
                return Err(ConnectionError::PlainWithoutTls);
            }
            settings.push(("sasl.mechanism", mechanism.as_str()));
            settings.push(("sasl.username", word("with the user name", username)?));
            settings.push(("sasl.password", word("with the password", password)?));
        }
        let protocol = match (tls.is_some(), sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        settings.push(("security.protocol", protocol));
        Ok(Self(Arc::new(Parts { digest: digest(&settings), config: config(&settings) })))
    }

    /// The addresses as written.
    pub fn bootstrap_servers(&self) -> &str {
        self.0.config.get("bootstrap.servers").unwrap_or_default()
    }

    /// What every client of it is made of.
    pub(super) fn client(&self) -> &ClientConfig {
        &self.0.config
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Connection {}

impl Hash for Connection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.0.config.get("security.protocol").unwrap_or_default();
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers())
            .field("security_protocol", &protocol)
            .finish_non_exhaustive()
    }
}

fn config(settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    for (setting, value) in [
        ("client.id", "stockwatch-operator"),
        ("allow.auto.create.topics", "false"),
        ("socket.connection.setup.timeout.ms", "5000"),
        ("reconnect.backoff.ms", "50"),
        ("reconnect.backoff.max.ms", "1000"),
        // A broker's pod comes back under another address.
        ("broker.address.ttl", "2000"),
        ("log.connection.close", "false"),
    ] {
        config.set(setting, value);
    }
    for (setting, value) in settings {
        config.set(*setting, *value);
    }
    config
}

/// The lengths keep two lists apart whose texts, one after another, are the same.
fn digest(settings: &[(&str, &str)]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in settings.iter().flat_map(|(setting, value)| [setting, value]) {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

fn pem<'a>(field: &'static str, key: &'static str, value: &'a [u8]) -> Result<&'a str, ConnectionError> {
    let text = text(field, key, value)?;
    if text.contains("-----BEGIN ") {
        Ok(text)
    } else {
        Err(ConnectionError::Unusable { field, key, problem: "holds no PEM text (-----BEGIN …)" })
    }
}

/// Without the line end that `echo` leaves.
fn word<'a>(key: &'static str, value: &'a [u8]) -> Result<&'a str, ConnectionError> {
    let field = "spec.kafka.sasl.secret";
    match text(field, key, value)?.trim_end_matches(['\r', '\n']) {
        "" => Err(ConnectionError::Unusable { field, key, problem: "is empty" }),
        word => Ok(word),
    }
}

fn text<'a>(field: &'static str, key: &'static str, value: &'a [u8]) -> Result<&'a str, ConnectionError> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(ConnectionError::Unusable { field, key, problem: "is not text" }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn scram(password: &str) -> Sasl {
        let (username, password) = (b"u\n".to_vec(), password.as_bytes().to_vec());
        Sasl { mechanism: Mechanism::ScramSha512, username, password }
    }

    #[test]
    fn the_same_addresses_and_secrets_are_one_connection() {
        let connection = |servers, password| Connection::new(servers, None, Some(&scram(password))).unwrap();
        assert_eq!(connection("kafka:9092", "p"), connection("kafka:9092", "p\n"), "echo's line end");
        assert_ne!(connection("kafka:9092", "p"), connection("kafka:9092", "q"));
        assert_ne!(connection("kafka:9092", "p"), connection("kafka:9093", "p"));
    }

    #[test]
    fn no_secret_is_printed() {
        let connection = Connection::new("kafka:9092", None, Some(&scram("hunter2"))).unwrap();
        let text = format!("{connection:?}");
        assert!(text.contains("kafka:9092") && text.contains("sasl_plaintext"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn host_names_are_verified_wherever_there_is_tls() {
        let connection = Connection::new("kafka:9092", Some(&Tls::default()), None).unwrap();
        let verified = connection.client().get("ssl.endpoint.identification.algorithm");
        assert_eq!(verified, Some("https"));
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_named_by_its_field_and_key() {
        let tls = |ca: &[u8]| Tls { ca: Some(ca.to_vec()), client: None };
        let refused = |tls: Option<&Tls>, sasl: Option<&Sasl>| {
            Connection::new("kafka:9092", tls, sasl).unwrap_err().to_string()
        };
        assert!(refused(Some(&tls(b"DER")), None).starts_with("spec.kafka.tls.caSecret: "));
        assert!(refused(Some(&tls(&[0xff])), None).contains("is not text"));
        assert!(refused(None, Some(&scram(""))).contains("password of the Secret is empty"));
        let plain = Sasl { mechanism: Mechanism::Plain, ..scram("p") };
        assert!(refused(None, Some(&plain)).contains("PLAIN"));
    }
}
