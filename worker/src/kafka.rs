//! How every Kafka client of this process connects, and what librdkafka says while it does.

mod context;
mod error;
pub mod log_reader;
mod secret_file;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::metadata::Metadata;
use stockwatch_crds::{CaSecret, ClientSecret, Kafka, KeyPair, Sasl, SecretKey, Username};

pub use self::context::KafkaContext;
pub use self::error::ConnectionError;
use self::secret_file::SecretFile;

/// The base settings of every client; they hold no connection themselves.
#[derive(Debug, Clone)]
pub struct Connection {
    // Its Debug leaves passwords out.
    config: ClientConfig,
}

impl Connection {
    /// The settings for `spec.kafka`.
    ///
    /// Secrets are files `<credentials>/<secret name>/<key>`, as Kubernetes mounts them. Certificates and keys are
    /// given to librdkafka by path, so a new client reads rotated ones; user name and password are read here. Tokens are
    /// librdkafka's business: each client fetches and renews its own on a thread of its own.
    pub fn new(kafka: &Kafka, credentials: &Path) -> Result<Self, ConnectionError> {
        let mut connection = Self::plaintext(&kafka.bootstrap_servers);
        let config = &mut connection.config;
        if let Some(tls) = &kafka.tls {
            config.set("enable.ssl.certificate.verification", "true");
            config.set("ssl.endpoint.identification.algorithm", "https");
            if let Some(file) = authority("spec.kafka.tls.caSecret", tls.ca.as_ref(), credentials) {
                config.set("ssl.ca.location", file.path(credentials)?);
            }
            if let Some(ClientSecret { name, pairs }) = &tls.client {
                let there = |pair: &&KeyPair| {
                    let keys = [&pair.certificate, &pair.key];
                    keys.iter().all(|key| identity(name, key).locate(credentials).is_ok())
                };
                // Where none is there, the error names the first.
                if let Some(pair) = pairs.iter().find(there).or(pairs.first()) {
                    let path = |key| identity(name, key).path(credentials);
                    config.set("ssl.certificate.location", path(&pair.certificate)?);
                    config.set("ssl.key.location", path(&pair.key)?);
                }
            }
        }
        if let Some(sasl) = &kafka.sasl {
            if sasl.mechanism.is_readable() && kafka.tls.is_none() {
                return Err(ConnectionError::ReadableWithoutTls(sasl.mechanism.as_str()));
            }
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            let (username, password) = login(sasl, credentials)?;
            if let Some(oauth) = &sasl.oauth {
                for (setting, value) in oauth.settings(&username, &password) {
                    config.set(setting, value);
                }
                if let Some(file) =
                    authority("spec.kafka.sasl.oauth.caSecret", oauth.ca.as_ref(), credentials)
                {
                    config.set("https.ca.location", file.path(credentials)?);
                }
            } else {
                config.set("sasl.username", username);
                config.set("sasl.password", password);
            }
        }
        let protocol = match (kafka.tls.is_some(), kafka.sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        Ok(connection)
    }

    /// Without encryption and authentication, as the mock cluster wants it.
    pub fn plaintext(bootstrap: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Notice);
        for (setting, value) in [
            ("bootstrap.servers", bootstrap),
            ("client.id", "stockwatch-worker"),
            ("security.protocol", "plaintext"),
            // The name is the consumer's, but producers obey it too.
            ("allow.auto.create.topics", "false"),
            ("socket.keepalive.enable", "true"),
            ("socket.connection.setup.timeout.ms", "10000"),
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "2000"),
            // A broker's pod comes back under another address.
            ("broker.address.ttl", "2000"),
            ("log.connection.close", "false"),
            // Metrics that a broker may ask for (KIP-714): they cost each record a lock and a look at the clock.
            ("enable.metrics.push", "false"),
        ] {
            config.set(setting, value);
        }
        Self { config }
    }

    /// The base of a client's settings, to lay the client's own over.
    pub fn client(&self) -> ClientConfig {
        self.config.clone()
    }

    /// The brokers' addresses as written.
    pub fn bootstrap_servers(&self) -> &str {
        self.config.get("bootstrap.servers").unwrap_or_default()
    }
}

/// A part of what the client shows of itself.
fn identity<'a>(name: &'a str, key: &'a str) -> SecretFile<'a> {
    SecretFile { field: "spec.kafka.tls.clientSecret", name, key }
}

/// The file of an authority's certificates: of its keys the first that is there, else the first, which an error then names.
fn authority<'a>(
    field: &'static str,
    ca: Option<&'a CaSecret>,
    credentials: &Path,
) -> Option<SecretFile<'a>> {
    let CaSecret { name, keys } = ca?;
    let file = |key: &'a String| SecretFile { field, name, key };
    let there = keys.iter().map(file).find(|file| file.locate(credentials).is_ok());
    there.or_else(|| keys.first().map(file))
}

/// A part of what the client logs in with.
fn credential<'a>(name: &'a str, key: &'a str) -> SecretFile<'a> {
    SecretFile { field: "spec.kafka.sasl.secret", name, key }
}

/// The user's name and the password, or an OAuth client's id and secret.
fn login(sasl: &Sasl, credentials: &Path) -> Result<(String, String), ConnectionError> {
    let SecretKey { name, key } = &sasl.password;
    let is_there = |key: &str| credential(name, key).locate(credentials).is_ok();
    let usual = match &sasl.username {
        Username::Given(_) => is_there(key),
        Username::Key(user) => is_there(user) && is_there(key),
    };
    // Where nothing is there, the error names the usual key.
    let file = sasl.file.as_deref().filter(|file| !usual && is_there(file));
    let both = file.map(|file| credential(name, file).login(credentials)).transpose()?;
    let user = match (&sasl.username, &both) {
        (Username::Given(user), _) | (_, Some((user, _))) => user.clone(),
        (Username::Key(key), None) => credential(name, key).text(credentials)?,
    };
    match both {
        Some((_, password)) => Ok((user, password)),
        None => Ok((user, credential(name, key).text(credentials)?)),
    }
}

/// What a producer's `poll` takes to wait for so many milliseconds: rdkafka cuts what is left of it to whole ones, and
/// spins for the rest.
pub const fn producer_wait(milliseconds: u64) -> Duration {
    Duration::from_micros(milliseconds * 1_000 + 50)
}

/// The next message, waited for so long at most. rdkafka spins for what is less than a millisecond: that is slept.
pub fn poll<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    wait: Duration,
) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
    let whole = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    if whole.is_zero() {
        std::thread::sleep(wait);
    }
    consumer.poll(whole)
}

/// Whether an error says that the topic is not there.
pub fn is_missing_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// A topic's metadata, asked for until a broker answers: for at most `patience`, and no longer once `stop` is set.
pub fn await_metadata<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<Metadata, KafkaError> {
    const STEP: Duration = Duration::from_millis(500);
    let deadline = Instant::now() + patience;
    loop {
        match client.fetch_metadata(Some(topic), STEP) {
            Err(_) if Instant::now() < deadline && !stop.load(Ordering::Relaxed) => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use std::fs;

    use rdkafka::producer::BaseProducer;
    use stockwatch_crds::{Mechanism, OAuth, Tls};

    use super::*;
    use crate::topics::tests::kafka;

    fn ca(name: &str) -> CaSecret {
        CaSecret { name: name.into(), keys: vec!["ca.crt".into(), "cacerts.pem".into()] }
    }

    fn secured(mechanism: Mechanism, tls: bool) -> Kafka {
        let ca = Some(ca("kafka-ca"));
        Kafka {
            tls: tls.then_some(Tls { ca, client: None }),
            sasl: Some(Sasl {
                mechanism,
                username: Username::Key("username".into()),
                password: SecretKey { name: "login".into(), key: "password".into() },
                file: Some("plain.txt".into()),
                oauth: None,
            }),
            ..kafka("127.0.0.1:1")
        }
    }

    fn tokens(tls: bool) -> Kafka {
        let mut kafka = secured(Mechanism::OauthBearer, tls);
        kafka.sasl.as_mut().unwrap().oauth = Some(OAuth {
            // Nobody listens there.
            token_url: "https://127.0.0.1:1/token".into(),
            scope: Some("kafka".into()),
            extensions: Some("logicalCluster=lkc-1".into()),
            ca: Some(ca("login-ca")),
        });
        kafka
    }

    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn every_mechanism_is_inside_this_librdkafka() {
        let dir = mounted(&[("login/username", "u\n"), ("login/password", "p"), ("kafka-ca/ca.crt", CA)]);
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
            let connection = Connection::new(&secured(mechanism, true), dir.path()).unwrap();
            let config = connection.client();
            assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
            assert_eq!(config.get("sasl.username"), Some("u"), "the line end is not part of the name");
            assert_eq!(config.get("ssl.endpoint.identification.algorithm"), Some("https"));
            config.create_with_context::<_, BaseProducer<KafkaContext>>(KafkaContext::default()).unwrap();
        }
    }

    #[test]
    fn tokens_are_fetched_by_this_librdkafka() {
        let files = [("login/username", "me\n"), ("login/password", "hunter2\n"), ("kafka-ca/ca.crt", CA)];
        let dir = mounted(&[&files[..], &[("login-ca/ca.crt", CA)]].concat());
        let connection = Connection::new(&tokens(true), dir.path()).unwrap();
        let config = connection.client();
        assert_eq!(config.get("sasl.mechanism"), Some("OAUTHBEARER"));
        assert_eq!(config.get("sasl.oauthbearer.client.id"), Some("me"));
        assert_eq!(config.get("sasl.oauthbearer.client.secret"), Some("hunter2"));
        assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (None, None));
        assert!(config.get("https.ca.location").unwrap().ends_with("/login-ca/ca.crt"));
        assert!(!format!("{connection:?}").contains("hunter2"));
        config.create_with_context::<_, BaseProducer<KafkaContext>>(KafkaContext::default()).unwrap();
        fs::remove_file(dir.path().join("login-ca/ca.crt")).unwrap();
        let error = Connection::new(&tokens(true), dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("spec.kafka.sasl.oauth.caSecret: cannot read "), "{error}");
    }

    #[test]
    fn keys_are_those_that_are_there_and_a_given_user_needs_none() {
        let dir = mounted(&[("user/user.crt", CA), ("user/user.key", CA), ("user/pw", "p")]);
        let pair =
            |certificate: &str, key: &str| KeyPair { certificate: certificate.into(), key: key.into() };
        let pairs = vec![pair("tls.crt", "tls.key"), pair("user.crt", "user.key")];
        let client = Some(ClientSecret { name: "user".into(), pairs });
        let kafka = Kafka {
            tls: Some(Tls { ca: None, client }),
            sasl: Some(Sasl {
                mechanism: Mechanism::ScramSha512,
                username: Username::Given("ann".into()),
                password: SecretKey { name: "user".into(), key: "pw".into() },
                file: None,
                oauth: None,
            }),
            ..kafka("127.0.0.1:1")
        };
        let config = Connection::new(&kafka, dir.path()).unwrap().client();
        assert!(config.get("ssl.certificate.location").unwrap().ends_with("/user/user.crt"));
        assert!(config.get("ssl.key.location").unwrap().ends_with("/user/user.key"));
        assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("ann"), Some("p")));
        fs::remove_file(dir.path().join("user/user.key")).unwrap();
        let error = Connection::new(&kafka, dir.path()).unwrap_err().to_string();
        assert!(error.contains("user/tls.crt"), "{error}");
    }

    #[test]
    fn secrets_as_confluent_for_kubernetes_writes_them_are_read() {
        let dir = mounted(&[
            ("tls/fullchain.pem", CA),
            ("tls/privkey.pem", CA),
            ("tls/cacerts.pem", CA),
            ("login/plain.txt", "username=ann\npassword=hunter2\n"),
        ]);
        let pair =
            |certificate: &str, key: &str| KeyPair { certificate: certificate.into(), key: key.into() };
        let pairs = vec![pair("tls.crt", "tls.key"), pair("fullchain.pem", "privkey.pem")];
        let client = Some(ClientSecret { name: "tls".into(), pairs });
        let mut kafka = secured(Mechanism::Plain, true);
        kafka.tls = Some(Tls { ca: Some(ca("tls")), client });
        let config = Connection::new(&kafka, dir.path()).unwrap().client();
        for (setting, file) in [
            ("ssl.ca.location", "/tls/cacerts.pem"),
            ("ssl.certificate.location", "/tls/fullchain.pem"),
            ("ssl.key.location", "/tls/privkey.pem"),
        ] {
            assert!(config.get(setting).unwrap().ends_with(file), "{setting}");
        }
        assert_eq!(
            (config.get("sasl.username"), config.get("sasl.password")),
            (Some("ann"), Some("hunter2"))
        );
        fs::write(dir.path().join("login/plain.txt"), "ann:hunter2").unwrap();
        let error = Connection::new(&kafka, dir.path()).unwrap_err().to_string();
        assert!(error.contains("login/plain.txt has no lines username=… and password=…"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        // Their own keys count before it.
        fs::write(dir.path().join("login/username"), "bob").unwrap();
        fs::write(dir.path().join("login/password"), "own").unwrap();
        let config = Connection::new(&kafka, dir.path()).unwrap().client();
        assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("bob"), Some("own")));
    }

    #[test]
    fn a_password_never_shows_when_printed() {
        let dir = mounted(&[("login/username", "u"), ("login/password", "hunter2")]);
        let connection = Connection::new(&secured(Mechanism::ScramSha512, false), dir.path()).unwrap();
        assert!(!format!("{connection:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_file_is_named_with_its_field() {
        let dir = mounted(&[("login/username", "u")]);
        let error =
            Connection::new(&secured(Mechanism::ScramSha256, false), dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("spec.kafka.sasl.secret: cannot read "), "{error}");
        assert!(error.contains("login/password"), "{error}");
    }

    #[test]
    fn an_empty_file_is_refused() {
        let dir = mounted(&[("login/username", "u"), ("login/password", "")]);
        let error =
            Connection::new(&secured(Mechanism::ScramSha256, false), dir.path()).unwrap_err().to_string();
        assert!(error.contains("login/password is empty"), "{error}");
    }

    #[test]
    fn a_secrets_name_cannot_lead_out_of_the_directory() {
        let dir = mounted(&[]);
        for name in ["..", "/etc", "a/b", "", "."] {
            let mut kafka = secured(Mechanism::ScramSha256, false);
            kafka.sasl.as_mut().unwrap().password.name = name.into();
            let error = Connection::new(&kafka, dir.path()).unwrap_err();
            assert!(matches!(error, ConnectionError::NotAName { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn what_others_could_log_in_with_is_not_sent_without_tls() {
        for kafka in [secured(Mechanism::Plain, false), tokens(false)] {
            let error = Connection::new(&kafka, Path::new("/")).unwrap_err();
            assert!(matches!(error, ConnectionError::ReadableWithoutTls(_)), "{error}");
        }
    }

    /// A self-signed certificate of no one.
    const CA: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBcTCCARegAwIBAgIUZV2wdcssHENgem6BzET//G/aWLcwCgYIKoZIzj0EAwIw\n\
        DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIzMDQ0NzA5WhgPMjEyNjEwMzAwNDQ3MDla\n\
        MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHlsq2+wh\n\
        xW5ks2kjmFf/P63mLus66eKd7dWUYOkdfP+ZH4K4nZEbqORel9Z3MaPrRmczxRG5\n\
        mwS0RsoaSLQrtaNTMFEwHQYDVR0OBBYEFB9XwEihoNarrPwk1QIw06cxSItdMB8G\n\
        A1UdIwQYMBaAFB9XwEihoNarrPwk1QIw06cxSItdMA8GA1UdEwEB/wQFMAMBAf8w\n\
        CgYIKoZIzj0EAwIDSAAwRQIgVh+5OAs1u9jsklSe79v70NQLHROOti8W2OIsMD+j\n\
        VYUCIQD7uv9jMtWBgI/3CYUE++PE9LIduQRap4qVcXjjRAcTBA==\n\
        -----END CERTIFICATE-----\n";
}
