//! Said records of the storage table: what was said of an entity, written in the transaction in which it changes.
//!
//! Their keys are objects without a field `stockwatch`: releases that do not know them leave them alone.

use serde::Deserialize;

use super::account::{AccountRecord, push_account};
use super::json::push_string;
use crate::decimal::{deserialize_nanos, push_integer, push_nanos, push_signed};
use crate::said::{Episode, Said};
use crate::sample::Origin;

/// Returns the key of an entity's said record.
///
/// ```
/// use stockwatch_core::wire::{TableKey, said_key};
///
/// assert_eq!(said_key("meta"), br#"{"stockwatchsaid":"meta"}"#);
/// assert_eq!(TableKey::parse(&said_key("meta")), TableKey::Said("meta".into()));
/// ```
pub fn said_key(name: &str) -> Vec<u8> {
    let mut key = br#"{"stockwatchsaid":"#.to_vec();
    push_string(&mut key, name);
    key.push(b'}');
    key
}

/// The entity of a key of [`said_key`].
pub(super) fn entity_of(key: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Key {
        stockwatchsaid: String,
    }
    serde_json::from_slice(key).ok().map(|key: Key| key.stockwatchsaid)
}

/// The value. Fields that this release does not know are passed over.
#[derive(Deserialize)]
struct Record {
    born: i64,
    #[serde(default)]
    episodes: Vec<EpisodeRecord>,
    #[serde(default)]
    account: Option<AccountRecord>,
}

#[derive(Deserialize)]
struct EpisodeRecord {
    window: u32,
    offset: i64,
    timestamp: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    start: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    last: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    end: i64,
    alarms: u64,
}

/// Returns the value of a said record: the raw offset of the entity's birth, and what was said since.
///
/// ```
/// use stockwatch_core::wire::{encode_said, read_said};
/// use stockwatch_core::{NANO, Origin, Said};
///
/// let mut said = Said::default();
/// said.add_alarm(5, 1_700_000_060 * NANO, 600 * NANO, Origin { offset: 8, timestamp: 1_700_000_060_123 });
/// let value = encode_said(7, &said);
/// assert_eq!(
///     String::from_utf8_lossy(&value),
///     r#"{"born":7,"episodes":[{"window":5,"offset":8,"timestamp":1700000060123,"start":1700000060,"last":1700000060,"end":1700000660,"alarms":1}]}"#
/// );
/// assert_eq!(read_said(&value)?, (7, said));
/// # Ok::<(), String>(())
/// ```
pub fn encode_said(born: i64, said: &Said) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + 160 * said.episodes.len());
    out.extend_from_slice(br#"{"born":"#);
    push_signed(&mut out, born);
    out.extend_from_slice(br#","episodes":["#);
    for (i, episode) in said.episodes.iter().enumerate() {
        out.extend_from_slice(if i > 0 { br#",{"window":"# } else { br#"{"window":"# });
        push_integer(&mut out, u64::from(episode.minutes));
        out.extend_from_slice(br#","offset":"#);
        push_signed(&mut out, episode.origin.offset);
        out.extend_from_slice(br#","timestamp":"#);
        push_signed(&mut out, episode.origin.timestamp);
        for (name, time) in
            [(r#","start":"#, episode.start), (r#","last":"#, episode.last), (r#","end":"#, episode.end)]
        {
            out.extend_from_slice(name.as_bytes());
            push_nanos(&mut out, time);
        }
        out.extend_from_slice(br#","alarms":"#);
        push_integer(&mut out, episode.number);
        out.push(b'}');
    }
    out.push(b']');
    if let Some(account) = &said.account {
        out.extend_from_slice(br#","account":"#);
        push_account(&mut out, account);
    }
    out.push(b'}');
    out
}

/// Returns what a said record has: the raw offset of the entity's birth, and what was said since.
///
/// # Errors
/// What is wrong with the record.
pub fn read_said(value: &[u8]) -> Result<(i64, Said), String> {
    let record: Record = serde_json::from_slice(value).map_err(|e| e.to_string())?;
    let episode = |episode: EpisodeRecord| Episode {
        minutes: episode.window,
        origin: Origin { offset: episode.offset, timestamp: episode.timestamp },
        start: episode.start,
        last: episode.last,
        end: episode.end,
        number: episode.alarms,
    };
    let account = record.account.map(AccountRecord::read).transpose()?.map(Box::new);
    Ok((record.born, Said { episodes: record.episodes.into_iter().map(episode).collect(), account }))
}
