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
    let file = sasl.file.filter(|file| !usual && is_there(file.key()));
    let both = file.map(|file| credential(name, file.key()).login(file, credentials)).transpose()?;
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
mod tests;
