//! Records of `dead-letter`: what could not be computed, unchanged, with headers that say why and where it was.

use sha2::{Digest, Sha256};

use super::json::push_hex;
use super::raw::RawRecord;
use super::reason::DeadLetterReason;

/// Header: a [`DeadLetterReason`].
const REASON: &str = "stockwatch-reason";
/// Header: the raw topic.
const TOPIC: &str = "stockwatch-topic";
/// Header: the raw partition.
const PARTITION: &str = "stockwatch-partition";
/// Header: the raw offset.
const OFFSET: &str = "stockwatch-offset";
/// Header of a record without key and value: the bytes that the raw value has.
const SIZE: &str = "stockwatch-size";
/// Header of a record without key and value: the SHA-256 of the raw value, in hexadecimal.
const SHA256: &str = "stockwatch-sha256";

/// A record of the dead-letter topic.
///
/// ```
/// use stockwatch_core::wire::{DeadLetter, DeadLetterReason, RawRecord};
///
/// let raw = RawRecord { key: Some(b"\"meta\""), value: Some(b"{"), timestamp: 1_700_000_000_000, offset: 7 };
/// let letter = DeadLetter::new(DeadLetterReason::NotJson, "raw-input", 3, &raw, 1_000_000);
/// assert_eq!((letter.key, letter.value), (raw.key, raw.value));
/// assert_eq!(letter.headers[0], ("stockwatch-reason", "not_json".to_owned()));
/// assert_eq!(letter.headers[1], ("stockwatch-topic", "raw-input".to_owned()));
/// assert_eq!(letter.headers[2], ("stockwatch-partition", "3".to_owned()));
/// assert_eq!(letter.headers[3], ("stockwatch-offset", "7".to_owned()));
///
/// // What the topic does not take is described instead.
/// let letter = DeadLetter::new(DeadLetterReason::NotJson, "raw-input", 3, &raw, 5);
/// assert_eq!((letter.key, letter.value), (None, None));
/// assert_eq!(letter.headers[4], ("stockwatch-size", "1".to_owned()));
/// assert_eq!(letter.headers[5].0, "stockwatch-sha256");
/// assert!(letter.headers[5].1.starts_with("021fb596db81e6d0"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The raw record's.
    pub key: Option<&'a [u8]>,
    /// The raw record's.
    pub value: Option<&'a [u8]>,
    /// Names and texts.
    pub headers: Vec<(&'static str, String)>,
}

impl<'a> DeadLetter<'a> {
    /// Returns the dead letter of a raw record; one of more than `max_bytes` has no key and no value.
    pub fn new(
        reason: DeadLetterReason,
        topic: &str,
        partition: i32,
        record: &RawRecord<'a>,
        max_bytes: usize,
    ) -> Self {
        let mut headers = vec![
            (REASON, reason.as_str().to_owned()),
            (TOPIC, topic.to_owned()),
            (PARTITION, partition.to_string()),
            (OFFSET, record.offset.to_string()),
        ];
        let (key, value) = (record.key, record.value);
        if key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) <= max_bytes {
            return Self { key, value, headers };
        }
        let bytes = value.unwrap_or_default();
        let mut digest = Vec::with_capacity(64);
        push_hex(&mut digest, &Sha256::digest(bytes));
        headers.push((SIZE, bytes.len().to_string()));
        headers.push((SHA256, String::from_utf8(digest).unwrap_or_default()));
        Self { key: None, value: None, headers }
    }
}
