//! Records of `dead-letter`: what could not be computed, unchanged, with headers that say why and where it was.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::json::push_hex;
use super::raw::RawRecord;
use super::reason::DeadLetterReason;

/// The lengths of a header's name and value take so many bytes at most: two 32-bit numbers of variable size.
const LENGTHS: usize = 10;
/// Header: a [`DeadLetterReason`].
const REASON: &str = "stockwatch-reason";
/// Header: the raw topic.
const TOPIC: &str = "stockwatch-topic";
/// Header: the raw partition.
const PARTITION: &str = "stockwatch-partition";
/// Header: the raw offset.
const OFFSET: &str = "stockwatch-offset";
/// Header: the raw record's own timestamp in ms, if it has one.
const TIMESTAMP: &str = "stockwatch-timestamp";
/// Header: whose clock that is.
const TIMESTAMP_TYPE: &str = "stockwatch-timestamp-type";
/// Of all headers that say what a dead letter is: those of a raw record that was one before are not kept.
const PREFIX: &str = "stockwatch-";
/// Header of a record without the raw key and value: the bytes that the raw value has.
const SIZE: &str = "stockwatch-size";
/// Header of a record without the raw key and value: the SHA-256 of the raw value, in hexadecimal.
const SHA256: &str = "stockwatch-sha256";

/// What the dead-letter topic takes.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetterLimits {
    /// The most bytes of a record's key, value and headers in sum.
    pub max_bytes: usize,
    /// Brokers refuse records without a key, as they do where a topic is compacted.
    pub needs_key: bool,
    /// How often brokers have refused a dead letter of the same raw record.
    pub refusals: u32,
}

/// What a raw record has besides what is computed.
#[derive(Debug, Clone, Default)]
pub struct Envelope<'a> {
    /// Whose clock its timestamp is: `CreateTime`, the writer's, or `LogAppendTime`, the broker's.
    pub timestamp_type: Option<&'static str>,
    /// Its headers in their order; a header may have no value.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// A record of the dead-letter topic.
///
/// ```
/// use stockwatch_core::wire::{DeadLetter, DeadLetterLimits, DeadLetterReason, Envelope, RawRecord};
///
/// let raw = RawRecord { key: Some(b"\"meta\""), value: Some(b"{"), timestamp: 1_700_000_000_000, offset: 7 };
/// let limits = DeadLetterLimits { max_bytes: 1_000_000, needs_key: false, refusals: 0 };
/// let envelope = Envelope { timestamp_type: Some("CreateTime"), headers: vec![("trace", Some(&b"7"[..]))] };
/// let new = |raw, limits| DeadLetter::new(DeadLetterReason::NotJson, "raw-input", 3, raw, &envelope, limits);
/// let letter = new(&raw, limits).expect("it fits");
/// assert_eq!((letter.key.as_deref(), letter.value), (raw.key, raw.value));
/// assert_eq!(letter.headers[0], ("stockwatch-reason", "not_json".to_owned()));
/// assert_eq!(letter.headers[1], ("stockwatch-topic", "raw-input".to_owned()));
/// assert_eq!(letter.headers[2], ("stockwatch-partition", "3".to_owned()));
/// assert_eq!(letter.headers[3], ("stockwatch-offset", "7".to_owned()));
/// assert_eq!(letter.headers[4], ("stockwatch-timestamp", "1700000000000".to_owned()));
/// assert_eq!(letter.headers[5], ("stockwatch-timestamp-type", "CreateTime".to_owned()));
/// assert_eq!(letter.own_headers, envelope.headers);
///
/// // What the topic does not take is described instead.
/// let large = RawRecord { value: Some(&[b'x'; 1_000]), ..raw };
/// let limits = DeadLetterLimits { max_bytes: 500, ..limits };
/// let letter = new(&large, limits).expect("headers fit");
/// assert_eq!((letter.key, letter.value), (None, None));
/// assert_eq!(letter.headers[6], ("stockwatch-size", "1000".to_owned()));
/// assert_eq!(letter.headers[7].0, "stockwatch-sha256");
/// assert!(letter.headers[7].1.starts_with("44f8354494a5ba03"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The raw record's; or `<topic>/<partition>/<offset>` where a key is needed and that one is missing or too large.
    pub key: Option<Cow<'a, [u8]>>,
    /// The raw record's.
    pub value: Option<&'a [u8]>,
    /// Names and texts.
    pub headers: Vec<(&'static str, String)>,
    /// The raw record's own headers, if they fit.
    pub own_headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> DeadLetter<'a> {
    /// Returns the dead letter of a raw record: whole if the topic takes it, else without the record's own headers, else
    /// without its key and value too. `None` where the topic takes not even what is left.
    ///
    /// Brokers may refuse what these limits allow, since settings change and may be hidden: after a first refusal there
    /// is a key in any case, and no header of the record's own; after a second one there are only ours, and a third one
    /// was the last.
    pub fn new(
        reason: DeadLetterReason,
        topic: &str,
        partition: i32,
        record: &RawRecord<'a>,
        envelope: &Envelope<'a>,
        limits: DeadLetterLimits,
    ) -> Option<Self> {
        let DeadLetterLimits { max_bytes, needs_key, refusals } = limits;
        let source = format!("{topic}/{partition}/{}", record.offset);
        let substitute = (needs_key || refusals > 0).then(|| Cow::Owned(source.into_bytes()));
        let mut letter = Self {
            key: record.key.map(Cow::Borrowed).or_else(|| substitute.clone()),
            value: record.value,
            headers: vec![
                (REASON, reason.as_str().to_owned()),
                (TOPIC, topic.to_owned()),
                (PARTITION, partition.to_string()),
                (OFFSET, record.offset.to_string()),
            ],
            own_headers: Vec::new(),
        };
        if record.timestamp >= 0 {
            letter.headers.push((TIMESTAMP, record.timestamp.to_string()));
            letter.headers.extend(envelope.timestamp_type.map(|name| (TIMESTAMP_TYPE, name.to_owned())));
        }
        if refusals == 0 {
            let own = envelope.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX));
            letter.own_headers = own.copied().collect();
            if letter.bytes() <= max_bytes {
                return Some(letter);
            }
            letter.own_headers.clear();
        }
        if refusals < 2 && letter.bytes() <= max_bytes {
            return Some(letter);
        }
        let value = record.value.unwrap_or_default();
        let mut digest = String::with_capacity(64);
        push_hex(&mut digest, &Sha256::digest(value));
        letter.key = substitute;
        letter.value = None;
        letter.headers.push((SIZE, value.len().to_string()));
        letter.headers.push((SHA256, digest));
        (refusals < 3 && letter.bytes() <= max_bytes).then_some(letter)
    }

    /// The bytes of key, value and headers, with the lengths that stand before a header's name and value: librdkafka
    /// counts them, too (`rd_kafka_msg_new0`).
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, text)| LENGTHS + name.len() + text.len()).sum();
        let own =
            self.own_headers.iter().map(|(name, value)| LENGTHS + name.len() + value.map_or(0, <[u8]>::len));
        let (key, value) = (self.key.as_deref().map_or(0, <[u8]>::len), self.value.map_or(0, <[u8]>::len));
        key + value + headers + own.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: DeadLetterLimits = DeadLetterLimits { max_bytes: 1_000_000, needs_key: false, refusals: 0 };

    fn letter<'a>(
        key: Option<&'a [u8]>,
        value: &'a [u8],
        limits: DeadLetterLimits,
    ) -> Option<(Option<String>, Option<&'a [u8]>)> {
        let raw = RawRecord { key, value: Some(value), timestamp: -1, offset: 7 };
        let envelope = Envelope::default();
        let letter = DeadLetter::new(DeadLetterReason::NotJson, "raw", 3, &raw, &envelope, limits)?;
        assert!(letter.bytes() <= limits.max_bytes);
        Some((letter.key.map(|key| String::from_utf8_lossy(&key).into_owned()), letter.value))
    }

    #[test]
    fn a_record_without_a_key_gets_one_only_where_it_needs_one() {
        let compacted = DeadLetterLimits { needs_key: true, ..ROOMY };
        let source = Some("raw/3/7".to_owned());
        assert_eq!(letter(None, b"{", ROOMY), Some((None, Some(&b"{"[..]))));
        assert_eq!(letter(None, b"{", compacted), Some((source.clone(), Some(&b"{"[..]))));
        assert_eq!(letter(Some(b"k"), b"{", compacted), Some((Some("k".into()), Some(&b"{"[..]))));
        let small = DeadLetterLimits { max_bytes: 300, ..compacted };
        assert_eq!(
            letter(Some(b"k"), &[b'x'; 300], small),
            Some((source, None)),
            "headers only have one too"
        );
    }

    #[test]
    fn headers_count_towards_the_size_and_the_records_own_go_first() {
        let raw = RawRecord { key: None, value: Some(&[b'x'; 1_000]), timestamp: 5, offset: 7 };
        let headers =
            vec![("trace", Some(&b"1"[..])), ("empty", None), ("stockwatch-reason", Some(&b"old"[..]))];
        let envelope = Envelope { timestamp_type: Some("CreateTime"), headers };
        let letter = |max_bytes| {
            let limits = DeadLetterLimits { max_bytes, ..ROOMY };
            DeadLetter::new(DeadLetterReason::NotJson, "raw", 3, &raw, &envelope, limits)
                .map(|letter| (letter.own_headers.len(), letter.value))
        };
        let ours = "stockwatch-reasonnot_jsonstockwatch-topicrawstockwatch-partition3stockwatch-offset7\
                    stockwatch-timestamp5stockwatch-timestamp-typeCreateTime"
            .len();
        let (ours, own) = (ours + 6 * LENGTHS, "trace1empty".len() + 2 * LENGTHS);
        assert_eq!(letter(1_000 + ours + own), Some((2, raw.value)));
        assert_eq!(letter(1_000 + ours + own - 1), Some((0, raw.value)));
        assert_eq!(letter(1_000 + ours - 1), Some((0, None)));
        assert_eq!(letter(ours), None, "those with size and digest do not fit");
    }

    #[test]
    fn each_refusal_leaves_less_until_nothing_is_left() {
        let refused = |refusals| letter(None, b"{", DeadLetterLimits { refusals, ..ROOMY });
        let source = || Some("raw/3/7".to_owned());
        assert_eq!(refused(1), Some((source(), Some(&b"{"[..]))));
        assert_eq!(refused(2), Some((source(), None)));
        assert_eq!(refused(3), None);
    }
}
