//! What librdkafka says of a client, for the log and for people who ask why it is not ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// One line in this time for each kind of librdkafka's messages; the rest is counted.
const LOG_GAP: Duration = Duration::from_secs(10);

/// Takes librdkafka's messages into `tracing`, repeated ones at a bounded rate, and remembers the last error.
///
/// Clones share what they remember, so a context given to a client can still be asked.
#[derive(Debug, Clone, Default)]
pub struct KafkaContext {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    last_error: Mutex<Option<String>>,
    // librdkafka has a few dozen kinds of messages.
    spoken: Mutex<BTreeMap<String, Spoken>>,
    refused: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct Spoken {
    at: Instant,
    suppressed: u64,
}

impl KafkaContext {
    /// What last went wrong between a client and its brokers, for people to read.
    pub fn last_error(&self) -> Option<String> {
        self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client works again.
    pub fn clear_error(&self) {
        *self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remember(&self, text: &str) {
        *self.shared.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// The topics that have refused a record for what it is, since this was last asked.
    pub fn take_refused(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets `speak` log at a bounded rate for each `kind`; it gets how many were held back since the last one.
    pub fn limited(&self, kind: &str, speak: impl FnOnce(u64)) {
        if let Some(suppressed) = self.may_speak(kind, Instant::now()) {
            speak(suppressed);
        }
    }

    /// How many of this kind were held back since its last line; `None` to hold this one back too.
    fn may_speak(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut spoken = self.shared.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = spoken.get_mut(kind) else {
            spoken.insert(kind.to_owned(), Spoken { at: now, suppressed: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(last.at) < LOG_GAP {
            last.suppressed += 1;
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.suppressed))
    }
}

/// librdkafka opens its messages with the thread that speaks: `[thrd:…]: `.
fn without_thread(message: &str) -> &str {
    match message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, text)) => text,
        None => message,
    }
}

impl ClientContext for KafkaContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = without_thread(message);
        // It warns that a producer ignores this setting, and obeys it all the same.
        if facility == "CONFWARN" && message.contains("allow.auto.create.topics") {
            return;
        }
        let is_error = matches!(
            level,
            RDKafkaLogLevel::Emerg
                | RDKafkaLogLevel::Alert
                | RDKafkaLogLevel::Critical
                | RDKafkaLogLevel::Error
        );
        if is_error {
            self.remember(message);
        }
        if matches!(level, RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info) {
            tracing::debug!(target: "librdkafka", facility, "{message}");
        } else if let Some(suppressed) = self.may_speak(facility, Instant::now()) {
            match level {
                RDKafkaLogLevel::Notice => {
                    tracing::info!(target: "librdkafka", facility, suppressed, "{message}");
                }
                RDKafkaLogLevel::Warning => {
                    tracing::warn!(target: "librdkafka", facility, suppressed, "{message}");
                }
                _ => tracing::error!(target: "librdkafka", facility, suppressed, "{message}"),
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = without_thread(reason);
        let code = error.rdkafka_error_code();
        // Readers ask to be told where a partition ends.
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        // "All brokers down" follows the reason for it and would hide it.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) || self.last_error().is_none() {
            self.remember(reason);
        }
        let kind = code.map_or_else(|| "error".to_owned(), |code| format!("{code:?}"));
        if let Some(suppressed) = self.may_speak(&kind, Instant::now()) {
            tracing::warn!(target: "librdkafka", kind, suppressed, "{reason}");
        }
    }
}

impl ConsumerContext for KafkaContext {}

impl ProducerContext for KafkaContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, record)) = result else { return };
        if let Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord) =
            error.rdkafka_error_code()
        {
            let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.insert(record.topic().to_owned());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;
    use crate::kafka::Connection;

    #[test]
    fn the_last_error_says_why_no_broker_answers() {
        let context = KafkaContext::default();
        let consumer: BaseConsumer<KafkaContext> =
            Connection::plaintext("127.0.0.1:1").client().create_with_context(context.clone()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while context.last_error().is_none() {
            assert!(Instant::now() < deadline, "librdkafka never spoke");
            let _ = consumer.poll(Duration::from_millis(100));
        }
        let text = context.last_error().unwrap();
        assert!(text.contains("127.0.0.1:1") && !text.contains("[thrd:"), "{text}");
    }

    #[test]
    fn a_repeated_message_is_held_back_and_counted() {
        let context = KafkaContext::default();
        let start = Instant::now();
        assert_eq!(context.may_speak("FAIL", start), Some(0));
        assert_eq!(context.may_speak("FAIL", start), None);
        assert_eq!(context.may_speak("FAIL", start + LOG_GAP / 2), None);
        assert_eq!(context.may_speak("SSL", start), Some(0));
        assert_eq!(context.may_speak("FAIL", start + LOG_GAP), Some(2));
    }
}
