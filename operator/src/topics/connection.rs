//! How to reach one Kafka cluster: addresses and secrets, checked and ready for a client.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use sha2::{Digest, Sha256};
use stockwatch_crds::{Mechanism, OAuth};

/// The largest answer of a broker that is taken, in bytes; librdkafka's own bound is 100 MB, and few of those are more
/// than the operator's memory. The largest that it needs is the list of all topics, about 60 bytes for each partition of
/// three replicas: this is room for more than 250,000 partitions.
const MOST_BYTES: u32 = 16 * 1024 * 1024;

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
    /// A password or a token would travel readable.
    #[error("spec.kafka.sasl.mechanism: {0} sends what it proves as it is: set tls as well, or use SCRAM")]
    ReadableWithoutTls(&'static str),
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
    /// The user, or the client's id.
    pub username: Vec<u8>,
    /// The password, or the client's secret.
    pub password: Vec<u8>,
    /// Where tokens come from; `None`: user and password are shown to the brokers themselves.
    pub tokens: Option<TokenSource>,
}

/// Where the tokens of OAUTHBEARER come from.
#[derive(Clone)]
pub struct TokenSource {
    /// As `spec.kafka.sasl.oauth` says.
    pub oauth: OAuth,
    /// PEM certificates of the endpoint's authority; `None`: the system's.
    pub ca: Option<Vec<u8>>,
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
        let fetch;
        if let Some(Sasl { mechanism, username, password, tokens }) = sasl {
            if mechanism.is_readable() && tls.is_none() {
                return Err(ConnectionError::ReadableWithoutTls(mechanism.as_str()));
            }
            settings.push(("sasl.mechanism", mechanism.as_str()));
            if let Some(TokenSource { oauth, ca }) = tokens {
                let (id, secret) = ("with the client's id", "with the client's secret");
                fetch = oauth.settings(word(id, username)?, word(secret, password)?);
                settings.extend(fetch.iter().map(|(setting, value)| (*setting, value.as_str())));
                if let Some(ca) = ca {
                    let field = "spec.kafka.sasl.oauth.caSecret";
                    settings.push(("https.ca.pem", pem(field, "with the certificates", ca)?));
                }
            } else {
                settings.push(("sasl.username", word("with the user name", username)?));
                settings.push(("sasl.password", word("with the password", password)?));
            }
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
    config.set("receive.message.max.bytes", MOST_BYTES.to_string());
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
        Sasl { mechanism: Mechanism::ScramSha512, username, password, tokens: None }
    }

    fn tokens(secret: &str, ca: &[u8]) -> Sasl {
        let (token_url, scope) = ("https://login.example.com/token".into(), Some("kafka".into()));
        let oauth = OAuth { token_url, scope, extensions: None, ca: None };
        let tokens = Some(TokenSource { oauth, ca: Some(ca.to_vec()) });
        Sasl { mechanism: Mechanism::OauthBearer, tokens, ..scram(secret) }
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
        let connection = |tls, sasl| Connection::new("kafka:9092", tls, Some(&sasl)).unwrap();
        for connection in [
            connection(None, scram("hunter2")),
            connection(Some(&Tls::default()), tokens("hunter2", b"-----BEGIN CERTIFICATE-----")),
        ] {
            let text = format!("{connection:?}");
            assert!(text.contains("kafka:9092") && text.contains("sasl_"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn tokens_are_fetched_with_the_clients_secret_from_an_endpoint_that_is_verified() {
        let ca = b"-----BEGIN CERTIFICATE-----";
        let connection =
            |secret| Connection::new("kafka:9092", Some(&Tls::default()), Some(&tokens(secret, ca))).unwrap();
        let told = connection("s\n");
        for (setting, value) in [
            ("sasl.mechanism", Some("OAUTHBEARER")),
            ("sasl.oauthbearer.method", Some("oidc")),
            ("sasl.oauthbearer.token.endpoint.url", Some("https://login.example.com/token")),
            ("sasl.oauthbearer.client.id", Some("u")),
            ("sasl.oauthbearer.client.secret", Some("s")),
            ("sasl.oauthbearer.scope", Some("kafka")),
            ("https.ca.pem", Some("-----BEGIN CERTIFICATE-----")),
            ("sasl.password", None),
        ] {
            assert_eq!(told.client().get(setting), value, "{setting}");
        }
        assert_ne!(told, connection("another"), "a rotated secret is another connection");
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
        assert!(refused(None, Some(&tokens("p", b"-----BEGIN "))).contains("OAUTHBEARER"));
        let by_the_system = Tls::default();
        let secured = Some(&by_the_system);
        assert!(
            refused(secured, Some(&tokens("", b"-----BEGIN ")))
                .contains("client's secret of the Secret is empty")
        );
        assert!(refused(secured, Some(&tokens("p", b"DER"))).starts_with("spec.kafka.sasl.oauth.caSecret: "));
    }
}
