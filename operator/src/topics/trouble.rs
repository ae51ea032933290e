//! Why a cluster cannot be asked: what librdkafka says goes to the log, what users read is a fixed sentence.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::observed::{KafkaProblem, KafkaReason};

/// An error ends an attempt to connect after this time: a broker that cannot be reached under one of its addresses may
/// be reached under the next.
const GRACE: Duration = Duration::from_secs(1);

/// How librdkafka begins to say why an endpoint gives no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

/// What librdkafka names where an answer is too large.
const TOO_LARGE: &str = "receive.message.max.bytes";

/// Why a cluster cannot be asked now.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// For people.
    pub(super) problem: KafkaProblem,
    /// For the log.
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(reason: KafkaReason, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let sentence = match reason {
            // What the endpoint says differs from time to time: a condition with it would be written again and again.
            KafkaReason::AuthenticationFailed if detail.contains(NO_TOKEN) => {
                "spec.kafka.sasl.oauth: tokenUrl gives no token: check the address, caSecret, the scope, and the client's id \
                 and secret; the operator's log has its answer"
            }
            KafkaReason::AuthenticationFailed => {
                "spec.kafka.sasl: the brokers refuse the user name or the password of the Secret, or the token"
            }
            KafkaReason::TlsFailed => {
                "spec.kafka.tls: no encrypted connection comes about: the brokers' certificate must be issued by \
                 caSecret's authority for the host names of spec.kafka.bootstrapServers, and they must accept clientSecret"
            }
            KafkaReason::NotAuthorized => {
                "spec.kafka: the user may not look at topics: grant Describe on the topics and on the cluster"
            }
            _ if detail.contains(TOO_LARGE) => {
                "spec.kafka.bootstrapServers: a broker's answer is larger than the 16 MiB that the operator takes, about \
                 250,000 partitions: check that these are the addresses of Kafka brokers"
            }
            _ => {
                "spec.kafka.bootstrapServers: no broker answers: check the addresses, tls and sasl, and that Kafka runs"
            }
        };
        let reason = match reason {
            KafkaReason::AuthenticationFailed | KafkaReason::TlsFailed | KafkaReason::NotAuthorized => reason,
            _ => KafkaReason::KafkaUnreachable,
        };
        Self { problem: KafkaProblem::new(reason, sentence), detail }
    }
}

/// Keeps the gravest error that librdkafka reported for a client; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ErrorListener(Arc<Mutex<Option<Heard>>>);

#[derive(Debug, Clone)]
struct Heard {
    reason: KafkaReason,
    text: String,
    since: Instant,
}

impl ErrorListener {
    /// Returns what ends an attempt to connect.
    pub(super) fn fatal(&self) -> Option<Failure> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = heard.as_ref()?;
        // Trying again with a wrong password may lock the user out.
        let at_once = heard.reason == KafkaReason::AuthenticationFailed;
        (at_once || heard.since.elapsed() > GRACE).then(|| Failure::new(heard.reason, heard.text.clone()))
    }

    /// Returns the failure of a call, with the error that librdkafka reported before it.
    pub(super) fn explain(&self, error: &KafkaError) -> Failure {
        let code = error.rdkafka_error_code();
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (code.and_then(reason), heard) {
            (Some(reason), _) => Failure::new(reason, error.to_string()),
            (None, Some(heard)) => Failure::new(heard.reason, format!("{error}: {}", heard.text)),
            (None, None) => Failure::new(KafkaReason::KafkaUnreachable, error.to_string()),
        }
    }

    /// Forgets reported errors: the cluster answers.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn hear(&self, reason: KafkaReason, text: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows the reason for it and would hide it.
        if heard.as_ref().is_none_or(|before| reason < before.reason) {
            let since = heard.as_ref().map_or_else(Instant::now, |before| before.since);
            *heard = Some(Heard { reason, text: text.to_owned(), since });
        }
    }
}

/// Returns the reason that an error code stands for; `None`: it says no more than that a broker cannot be reached.
fn reason(code: RDKafkaErrorCode) -> Option<KafkaReason> {
    match code {
        RDKafkaErrorCode::Authentication
        | RDKafkaErrorCode::SaslAuthenticationFailed
        | RDKafkaErrorCode::UnsupportedSASLMechanism => Some(KafkaReason::AuthenticationFailed),
        RDKafkaErrorCode::SSL => Some(KafkaReason::TlsFailed),
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Some(KafkaReason::NotAuthorized)
        }
        _ => None,
    }
}

impl ClientContext for ErrorListener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, text: &str) {
        let code = error.rdkafka_error_code();
        tracing::debug!(target: "librdkafka", ?code, "{text}");
        match (code.and_then(reason), code) {
            (Some(reason), _) => self.hear(reason, text),
            (None, Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve)) => {
                self.hear(KafkaReason::KafkaUnreachable, text);
            }
            _ if text.contains(TOO_LARGE) => self.hear(KafkaReason::KafkaUnreachable, text),
            // An error of one broker of several.
            _ => {}
        }
    }
}

impl ConsumerContext for ErrorListener {}
