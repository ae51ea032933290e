//! Output records as bytes, written into buffers that are used again and again.

use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::average::{Average, exceeds};
use crate::decimal::{push_integer, push_nanos, push_ratio};
use crate::partition::{Accepted, RawRecord};

/// Appended to a raw value on its way to the deduplicated stream.
const MARK: &[u8] = br#","isduplicate":false}"#;

/// Where an output record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// `after-dedup-stream`.
    Deduplicated,
    /// `averages-output`.
    Averages,
    /// `deviation-alarm`.
    Alarms,
}

/// Takes output records.
pub trait Sink {
    /// Why it could not.
    type Error;
    /// Takes one record of the raw partition at hand; key and value are only lent.
    ///
    /// # Errors
    /// The record was not taken.
    fn send(&mut self, stream: Stream, key: &[u8], value: &[u8]) -> Result<(), Self::Error>;
}

/// Writes the records that follow from accepted quotes of one raw topic.
#[derive(Debug)]
pub struct Encoder {
    id_prefix: Sha256,
    key: Vec<u8>,
    value: Vec<u8>,
    /// What all values of a quote end with.
    time: Vec<u8>,
}

/// How many records an accepted quote gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Averages.
    pub averages: u64,
    /// Alarms.
    pub alarms: u64,
}

impl Encoder {
    /// An encoder for the raw topic of this name: alarm ids begin with it.
    pub fn new(raw_topic: &str) -> Self {
        let mut id_prefix = Sha256::new();
        id_prefix.update(raw_topic.as_bytes());
        id_prefix.update([0]);
        Self {
            id_prefix,
            key: Vec::with_capacity(128),
            value: Vec::with_capacity(512),
            time: Vec::with_capacity(64),
        }
    }

    /// Sends the deduplicated quote, an average for each window, and the alarms.
    ///
    /// # Errors
    /// The sink's.
    pub fn write<S: Sink>(
        &mut self,
        partition: i32,
        record: &RawRecord<'_>,
        accepted: &Accepted<'_>,
        sink: &mut S,
    ) -> Result<Written, S::Error> {
        let Accepted { entity, name, previous, shape, .. } = *accepted;
        let mut written = Written::default();
        self.key.clear();
        push_string(&mut self.key, name);
        let bare_key = self.key.len();
        self.value.clear();
        self.value.extend_from_slice(&entity.value);
        self.value.extend_from_slice(MARK);
        sink.send(Stream::Deduplicated, &self.key, &self.value)?;
        self.time.clear();
        self.time.extend_from_slice(br#","lastupdatedate":"#);
        push_nanos(&mut self.time, entity.newest().unwrap_or_default());
        for (rule, average) in shape.windows.iter().zip(entity.averages()) {
            self.key.truncate(bare_key);
            push_integer(&mut self.key, u64::from(rule.minutes));
            let rounded = average.rounded();
            self.begin_value(bare_key, rule.minutes);
            self.value.extend_from_slice(br#","stockpriceavg":"#);
            push_nanos(&mut self.value, rounded);
            self.value.extend_from_slice(br#","count":"#);
            push_integer(&mut self.value, average.count);
            self.value.extend_from_slice(&self.time);
            self.value.push(b'}');
            sink.send(Stream::Averages, &self.key, &self.value)?;
            written.averages += 1;
        }
        for (place, (average, previous)) in entity.averages().zip(previous).enumerate() {
            let Some(old) = *previous else { continue };
            let tolerance = shape.tolerance(name, place);
            if !exceeds(average, old, tolerance.bound) {
                continue;
            }
            let minutes = shape.windows[place].minutes;
            self.key.truncate(bare_key);
            push_integer(&mut self.key, u64::from(minutes));
            self.begin_value(bare_key, minutes);
            self.push_difference(average, old);
            self.value.extend_from_slice(br#","tolerance":"#);
            push_string(&mut self.value, &tolerance.text);
            self.value.extend_from_slice(br#","generation":"#);
            push_integer(&mut self.value, shape.generation);
            self.value.extend_from_slice(&self.time);
            self.value.extend_from_slice(br#","id":""#);
            self.push_id(partition, record, minutes);
            self.value.extend_from_slice(br#""}"#);
            sink.send(Stream::Alarms, &self.key, &self.value)?;
            written.alarms += 1;
        }
        Ok(written)
    }

    fn begin_value(&mut self, bare_key: usize, minutes: u32) {
        self.value.clear();
        self.value.extend_from_slice(br#"{"entityname":"#);
        self.value.extend_from_slice(&self.key[..bare_key]);
        self.value.extend_from_slice(br#","windowtime":"#);
        push_integer(&mut self.value, u64::from(minutes));
    }

    fn push_difference(&mut self, new: Average, old: Average) {
        let difference = new.minus(old);
        let out = &mut self.value;
        out.extend_from_slice(br#","deviation":"#);
        if old.sum == 0 {
            out.extend_from_slice(b"null");
        } else {
            // |s/n − t/m| / |t/m| = |s·m − t·n| / (n·|t|)
            push_ratio(out, difference.unsigned_abs(), u128::from(new.count) * old.sum.unsigned_abs(), 15);
        }
        out.extend_from_slice(br#","absolutedeviation":"#);
        let denominator =
            u128::from(new.count) * u128::from(old.count) * u128::from(crate::NANO.unsigned_abs());
        push_ratio(out, difference.unsigned_abs(), denominator, 9);
        out.extend_from_slice(br#","direction":""#);
        out.extend_from_slice(if difference < 0 { b"down" } else { b"up" });
        out.extend_from_slice(br#"","stockpriceavg":"#);
        push_nanos(out, new.rounded());
        out.extend_from_slice(br#","previousstockpriceavg":"#);
        push_nanos(out, old.rounded());
    }

    /// The first 16 bytes of SHA-256 over topic, partition, offset, timestamp and window, in hexadecimal.
    fn push_id(&mut self, partition: i32, record: &RawRecord<'_>, minutes: u32) {
        let mut hash = self.id_prefix.clone();
        hash.update(partition.to_be_bytes());
        hash.update(record.offset.to_be_bytes());
        hash.update(record.timestamp.to_be_bytes());
        hash.update(minutes.to_be_bytes());
        push_hex(&mut self.value, &hash.finalize()[..16]);
    }
}

/// Appends bytes in lowercase hexadecimal.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Appends a JSON string, as `serde_json` writes it.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// Appends a raw value without its last brace, and without a field `isduplicate` of its own.
///
/// `value` is a JSON object that [`crate::Quote::read`] accepted; `marked` is what that said.
pub(crate) fn push_bare_value(out: &mut Vec<u8>, value: &[u8], marked: bool) {
    if !marked {
        let whole = value.trim_ascii();
        out.extend_from_slice(whole.strip_suffix(b"}").unwrap_or(whole));
        return;
    }
    let fields: Others<'_> = serde_json::from_slice(value).unwrap_or_default();
    let mut text = String::from("{");
    for (i, (name, field)) in fields.0.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{}:{field}", serde_json::Value::from(name.as_str()));
    }
    out.extend_from_slice(text.as_bytes());
}

/// All fields but `isduplicate`, in order, as written.
#[derive(Default)]
struct Others<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Others<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OthersVisitor;
        impl<'de> Visitor<'de> for OthersVisitor {
            type Value = Others<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Others<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if name != "isduplicate" {
                        fields.push((name, value));
                    }
                }
                Ok(Others(fields))
            }
        }
        deserializer.deserialize_map(OthersVisitor)
    }
}
