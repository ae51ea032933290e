//! `stockwatch-worker tail`: prints what a worker writes to one of its topics, a line a record, until told to stop.
//!
//! Reads with the spec and the credentials of `run`, so `kubectl exec` in a worker's pod needs no more than the topic's
//! name. Assign-only: no group is joined, and nothing is written to Kafka.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use stockwatch_crds::Topics;

use crate::args::{LogFormat, Tail, TailTopic};
use crate::config::{self, FindError};
use crate::kafka::log_reader::{self, CALL_TIMEOUT, Isolation};
use crate::kafka::{Connection, ConnectionError, KafkaContext};
use crate::process::{BAD_INPUT, complain, log_to_stderr};

/// Between two looks for records; lines are written out before each.
const POLL: Duration = Duration::from_millis(100);

/// Why nothing is printed, or no more.
#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error(transparent)]
    Spec(#[from] FindError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("topic {topic} cannot be read (does it exist, and may this user read it?): {source}")]
    Topic { topic: String, source: KafkaError },
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Prints until `--max` records are printed or the reader of the lines is gone. 0: so ended, 1: failed, 2: the file or an
/// argument is bad.
pub fn run(arguments: &Tail) -> ExitCode {
    log_to_stderr(LogFormat::Text, "error");
    match tail(arguments, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // As with `| head`: nobody is interested any more.
        Err(TailError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            let is_input = matches!(error, TailError::Spec(_) | TailError::Connection(_));
            ExitCode::from(if is_input { BAD_INPUT } else { 1 })
        }
    }
}

fn tail(arguments: &Tail, out: &mut impl Write) -> Result<(), TailError> {
    let kafka = config::find(arguments.watch_file.as_deref(), &arguments.pod.copies)?.spec.kafka;
    let connection = Connection::new(&kafka, &arguments.pod.credentials)?;
    let topic = name(arguments.topic, &kafka.topics);
    let failed = |source| TailError::Topic { topic: topic.to_owned(), source };
    // The group is never joined: it is what the user may read with.
    let mut config = log_reader::config(&connection, &kafka.group_id, Isolation::Committed);
    config.set("fetch.wait.max.ms", "100");
    let consumer = config.create_with_context(KafkaContext::default()).map_err(failed)?;
    assign(&consumer, topic, arguments.from_beginning).map_err(failed)?;
    let mut left = arguments.max.unwrap_or(u64::MAX);
    let mut line = Vec::new();
    while left > 0 {
        let mut polled = consumer.poll(Duration::ZERO);
        if polled.is_none() {
            // What was read is seen before the next record comes.
            out.flush()?;
            polled = consumer.poll(POLL);
        }
        match polled {
            Some(Ok(record)) => {
                line.clear();
                push_line(&mut line, &record, arguments.topic == TailTopic::DeadLetter);
                out.write_all(&line)?;
                left -= 1;
            }
            Some(Err(error)) if log_reader::is_lasting(&error) => return Err(failed(error)),
            // librdkafka logs the others, and tries again by itself.
            Some(Err(_)) | None => {}
        }
    }
    Ok(out.flush()?)
}

fn name(topic: TailTopic, topics: &Topics) -> &str {
    match topic {
        TailTopic::Alarms => &topics.deviation_alarm.name,
        TailTopic::Averages => &topics.averages_output.name,
        TailTopic::DeadLetter => &topics.dead_letter.name,
        TailTopic::Ledger => &topics.ledger.name,
    }
}

/// Assigns all partitions, from their first record or from the end of what is committed.
fn assign(
    consumer: &BaseConsumer<KafkaContext>,
    topic: &str,
    from_beginning: bool,
) -> Result<(), KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), CALL_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    if let Some(error) = found.and_then(|found| found.error()) {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let offset = if from_beginning { Offset::Beginning } else { Offset::End };
    let mut list = TopicPartitionList::new();
    for partition in found.map(|found| found.partitions()).unwrap_or_default() {
        list.add_partition_offset(topic, partition.id(), offset)?;
    }
    consumer.assign(&list)
}

/// Key, time, the headers of a dead letter, and the value, with tabs between.
fn push_line(line: &mut Vec<u8>, record: &impl Message, with_headers: bool) {
    push_printable(line, record.key().unwrap_or_default());
    line.push(b'\t');
    line.extend_from_slice(timestamp(record.timestamp().to_millis().unwrap_or(0)).as_bytes());
    line.push(b'\t');
    if with_headers {
        for header in record.headers().into_iter().flat_map(Headers::iter) {
            push_printable(line, header.key.strip_prefix("stockwatch-").unwrap_or(header.key).as_bytes());
            line.push(b'=');
            push_printable(line, header.value.unwrap_or_default());
            line.push(b' ');
        }
        line.push(b'\t');
    }
    push_printable(line, record.payload().unwrap_or_default());
    line.push(b'\n');
}

/// Appends text as it is, and anything that would break the line or command a terminal as an escape sequence.
fn push_printable(line: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                line.extend(character.escape_default().map(|escaped| escaped as u8));
            } else {
                line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        for byte in chunk.invalid() {
            line.extend(byte.escape_ascii());
        }
    }
}

/// Milliseconds since 1970 as RFC 3339, in UTC; the number where no calendar has it.
fn timestamp(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn line(headers: &[(&str, &str)], value: &[u8], with_headers: bool) -> String {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let (key, time) = (Some(b"\"meta\"5".to_vec()), Timestamp::CreateTime(1_700_000_000_500));
        let record = OwnedMessage::new(Some(value.to_vec()), key, "alarms".into(), time, 0, 7, Some(headers));
        let mut line = Vec::new();
        push_line(&mut line, &record, with_headers);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_has_key_time_and_value() {
        let line = line(&[("ce_id", "1")], br#"{"windowtime":5}"#, false);
        assert_eq!(line, "\"meta\"5\t2023-11-14T22:13:20.500Z\t{\"windowtime\":5}\n");
    }

    #[test]
    fn a_dead_letter_says_why_and_breaks_no_line() {
        let headers = [("stockwatch-reason", "not_json"), ("stockwatch-offset", "7")];
        let line = line(&headers, b"a\nb\x1b[2J\xff \xc3\xa9", true);
        assert!(line.ends_with("\treason=not_json offset=7 \ta\\nb\\u{1b}[2J\\xff é\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_826_154_000, "2000-02-29T12:09:14.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(millis), text);
        }
    }
}
