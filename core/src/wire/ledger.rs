//! Records of `ledger`: what the paper accounts do.
//!
//! Their keys are those of the storage table's quotes: the entity as a JSON string.

use serde::Deserialize;

use super::alarm::AlarmIds;
use super::json::push_string;
use super::text::Labels;
use crate::account::{Cause, Entry, EntryType, Reason, Side};
use crate::decimal::{self, push_integer, push_nanos};
use crate::sample::Origin;

/// In the place of a window's minutes in the ids of the accounts' own entries: no window is so long.
const ORDER: u32 = u32::MAX;
const CLOSE: u32 = u32::MAX - 1;
const VOID: u32 = u32::MAX - 2;

/// The ids that an entry names, in hexadecimal.
pub(crate) struct EntryIds {
    pub(crate) id: String,
    pub(crate) account: String,
    /// Of the alarm behind the order, and of its episode.
    pub(crate) alarm: Option<(String, String)>,
}

impl EntryIds {
    /// Those of an entry of an entity in this raw partition. They follow from the raw records alone, so that a repeated
    /// transaction gives the same ones.
    pub(crate) fn of(ids: &AlarmIds, partition: i32, entry: &Entry) -> Self {
        let id = |origin: Origin, what: u32| {
            let mut id = String::with_capacity(32);
            ids.write(&mut id, partition, origin, what);
            id
        };
        let what = match entry.entry_type {
            EntryType::Order | EntryType::Fill | EntryType::Cancel => ORDER,
            EntryType::Close => CLOSE,
            EntryType::Void => VOID,
        };
        let alarm = |cause: Cause| (id(entry.origin, cause.minutes), id(cause.episode, cause.minutes));
        Self { id: id(entry.origin, what), account: id(entry.account, ORDER), alarm: entry.cause.map(alarm) }
    }
}

/// Appends the value of an entry; `entity` is the name as a JSON string, `time` what [`super::output::push_time`] wrote.
pub(crate) fn push_entry(
    out: &mut Vec<u8>,
    entity: &[u8],
    labels: &Labels<'_>,
    entry: &Entry,
    ids: &EntryIds,
    time: &[u8],
    generation: u64,
) {
    out.extend_from_slice(br#"{"entityname":"#);
    out.extend_from_slice(entity);
    push_text(out, br#","symbol":"#, labels.symbol.as_deref());
    push_text(out, br#","currency":"#, labels.currency.as_deref());
    push_text(out, br#","type":"#, Some(entry.entry_type.as_str()));
    push_text(out, br#","side":"#, entry.side.map(Side::as_str));
    push_text(out, br#","id":"#, Some(&ids.id));
    push_text(out, br#","account":"#, Some(&ids.account));
    push_text(out, br#","alarm":"#, ids.alarm.as_ref().map(|(alarm, _)| &**alarm));
    push_text(out, br#","episode":"#, ids.alarm.as_ref().map(|(_, episode)| &**episode));
    push_amount(out, br#","price":"#, entry.price);
    push_amount(out, br#","fee":"#, entry.fee);
    push_amount(out, br#","profit":"#, entry.profit);
    push_text(out, br#","reason":"#, entry.reason.map(Reason::as_str));
    push_amount(out, br#","cash":"#, Some(entry.cash));
    push_amount(out, br#","shares":"#, Some(entry.shares));
    out.extend_from_slice(time);
    out.extend_from_slice(br#","generation":"#);
    push_integer(out, generation);
    out.push(b'}');
}

fn push_text(out: &mut Vec<u8>, field: &[u8], text: Option<&str>) {
    if let Some(text) = text {
        out.extend_from_slice(field);
        push_string(out, text);
    }
}

fn push_amount(out: &mut Vec<u8>, field: &[u8], amount: Option<i64>) {
    if let Some(amount) = amount {
        out.extend_from_slice(field);
        push_nanos(out, amount);
    }
}

impl EntryType {
    /// The type as written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Fill => "fill",
            Self::Cancel => "cancel",
            Self::Close => "close",
            Self::Void => "void",
        }
    }
}

impl Side {
    /// The side as written on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invest => "invest",
            Self::Uninvest => "uninvest",
        }
    }
}

impl Reason {
    /// The reason as written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StopLoss => "stop_loss",
            Self::MaxWait => "max_wait",
            Self::OutOfRange => "out_of_range",
            Self::TradeRemoved => "trade_removed",
            Self::EntityRemoved => "entity_removed",
            Self::EntityBeganAnew => "entity_began_anew",
        }
    }
}

/// A record of `ledger`: an order of a paper account, or what became of one.
///
/// An order, its fill and its cancel share an `id`; `cash` and `shares` are those after it.
///
/// ```
/// use stockwatch_core::account::{EntryType, Side};
/// use stockwatch_core::wire::LedgerRecord;
///
/// let value = br#"{"entityname":"meta","symbol":"META","currency":"USD","type":"fill","side":"invest","id":"00112233445566778899aabbccddeeff","account":"00112233445566778899aabbccddeeff","alarm":"8aece29c8b0f276e3810d1bf55ab45ba","episode":"8aece29c8b0f276e3810d1bf55ab45ba","price":104.02,"fee":5,"cash":0.12,"shares":96.086137281,"lastupdatedate":1700000060,"generation":3}"#;
/// let record = LedgerRecord::parse(value)?;
/// assert_eq!((record.entry_type, record.side), (EntryType::Fill, Some(Side::Invest)));
/// assert_eq!((record.price, record.fee, record.profit), (Some(104_020_000_000), Some(5_000_000_000), None));
/// assert_eq!((record.cash, record.shares), (120_000_000, 96_086_137_281));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LedgerRecord {
    /// Whose account it is.
    #[serde(rename = "entityname")]
    pub entity: String,
    /// What the source calls it, if the raw record says so.
    pub symbol: Option<String>,
    /// Of prices and cash, if the raw record says so.
    pub currency: Option<String>,
    /// What it is about.
    #[serde(rename = "type")]
    pub entry_type: EntryType,
    /// Of the order; absent of a `void`.
    pub side: Option<Side>,
    /// The order's, or the record's own if it is of none.
    pub id: String,
    /// The id of the account's first order.
    pub account: String,
    /// The `id` of the alarm behind the order; absent where the stop loss placed it.
    pub alarm: Option<String>,
    /// The `episode` of that alarm.
    pub episode: Option<String>,
    /// What one share cost or gave, slippage included: 10⁻⁹ of the currency; of a fill or a close.
    #[serde(default, deserialize_with = "decimal::deserialize_optional_nanos")]
    pub price: Option<i64>,
    /// 10⁻⁹ of the currency; of a fill.
    #[serde(default, deserialize_with = "decimal::deserialize_optional_nanos")]
    pub fee: Option<i64>,
    /// The cash after it less the cash before the position, in 10⁻⁹ of the currency; where a position ends.
    #[serde(default, deserialize_with = "decimal::deserialize_optional_nanos")]
    pub profit: Option<i64>,
    /// Why, where the type does not say it.
    pub reason: Option<Reason>,
    /// The account's cash after it, in 10⁻⁹ of the currency.
    #[serde(deserialize_with = "decimal::deserialize_nanos")]
    pub cash: i64,
    /// The account's shares after it, in 10⁻⁹.
    #[serde(deserialize_with = "decimal::deserialize_nanos")]
    pub shares: i64,
    /// Event time of the entity's newest quote, nanoseconds since 1970.
    #[serde(rename = "lastupdatedate", deserialize_with = "decimal::deserialize_nanos")]
    pub time: i64,
    /// The spec's whose terms held.
    pub generation: u64,
}

impl LedgerRecord {
    /// Reads a record's value.
    ///
    /// # Errors
    /// It is not one that a worker writes.
    pub fn parse(value: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry() -> Entry {
        let origin = |offset| Origin { offset, timestamp: 0 };
        Entry {
            entry_type: EntryType::Fill,
            side: Some(Side::Uninvest),
            origin: origin(9),
            account: origin(5),
            cause: Some(Cause { minutes: 15, episode: origin(8) }),
            price: Some(104_500_000_000),
            fee: Some(1_000_000_000),
            profit: Some(-500_000_000),
            reason: None,
            cash: 999_500_000_000,
            shares: 0,
        }
    }

    fn written(labels: &Labels<'_>, entry: &Entry) -> String {
        let ids = EntryIds::of(&AlarmIds::new("raw"), 0, entry);
        let mut out = Vec::new();
        push_entry(&mut out, br#""meta""#, labels, entry, &ids, br#","lastupdatedate":60.5"#, 3);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_fill_is_written_with_all_that_it_has() {
        let labels = Labels { symbol: Some("META".into()), currency: Some("USD".into()) };
        let id = |offset, what| {
            let mut id = String::new();
            AlarmIds::new("raw").write(&mut id, 0, Origin { offset, timestamp: 0 }, what);
            id
        };
        assert_eq!(
            written(&labels, &entry()),
            format!(
                r#"{{"entityname":"meta","symbol":"META","currency":"USD","type":"fill","side":"uninvest","id":"{}","account":"{}","alarm":"{}","episode":"{}","price":104.5,"fee":1,"profit":-0.5,"cash":999.5,"shares":0,"lastupdatedate":60.5,"generation":3}}"#,
                id(9, ORDER),
                id(5, ORDER),
                id(9, 15),
                id(8, 15),
            )
        );
    }

    #[test]
    fn what_is_written_is_read_again_and_what_there_is_not_is_left_out() {
        let void = Entry {
            entry_type: EntryType::Void,
            side: None,
            origin: entry().account,
            cause: None,
            price: None,
            fee: None,
            profit: None,
            reason: Some(Reason::EntityRemoved),
            ..entry()
        };
        let record = LedgerRecord::parse(written(&Labels::default(), &void).as_bytes()).unwrap();
        assert_eq!((record.entry_type, record.reason), (EntryType::Void, Some(Reason::EntityRemoved)));
        assert_eq!((record.symbol, record.side, record.alarm, record.price), (None, None, None, None));
        assert_eq!((record.cash, record.time, record.generation), (999_500_000_000, 60_500_000_000, 3));
        assert_ne!(record.id, record.account);
    }
}
