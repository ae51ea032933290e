//! The paper account in an entity's said record.

use serde::Deserialize;

use super::json::push_string;
use crate::account::{Account, Cause, Order, Position, Side};
use crate::decimal::{deserialize_nanos, push_integer, push_nanos, push_signed};
use crate::sample::Origin;

/// Appends an account as a JSON object.
pub(super) fn push_account(out: &mut Vec<u8>, account: &Account) {
    push_origin(out, account.origin);
    push_amount(out, br#","budget":"#, account.budget);
    push_amount(out, br#","cash":"#, account.cash);
    if let Some(Position { shares, price, cash_before }) = account.position {
        push_amount(out, br#","position":{"shares":"#, shares);
        push_amount(out, br#","price":"#, price);
        push_amount(out, br#","cashbefore":"#, cash_before);
        out.push(b'}');
    }
    if let Some(Order { origin, side, time, cause }) = account.order {
        out.extend_from_slice(br#","order":"#);
        push_origin(out, origin);
        out.extend_from_slice(br#","side":"#);
        push_string(out, side.as_str());
        push_amount(out, br#","time":"#, time);
        if let Some(Cause { minutes, episode }) = cause {
            out.extend_from_slice(br#","episode":"#);
            push_origin(out, episode);
            out.extend_from_slice(br#","window":"#);
            push_integer(out, u64::from(minutes));
            out.push(b'}');
        }
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends the begin of an object.
fn push_origin(out: &mut Vec<u8>, origin: Origin) {
    out.extend_from_slice(br#"{"offset":"#);
    push_signed(out, origin.offset);
    out.extend_from_slice(br#","timestamp":"#);
    push_signed(out, origin.timestamp);
}

fn push_amount(out: &mut Vec<u8>, field: &[u8], amount: i64) {
    out.extend_from_slice(field);
    push_nanos(out, amount);
}

/// An account as [`push_account`] writes it.
#[derive(Deserialize)]
pub(super) struct AccountRecord {
    offset: i64,
    timestamp: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    budget: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    cash: i64,
    position: Option<PositionRecord>,
    order: Option<OrderRecord>,
}

#[derive(Deserialize)]
struct PositionRecord {
    #[serde(deserialize_with = "deserialize_nanos")]
    shares: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    price: i64,
    #[serde(deserialize_with = "deserialize_nanos")]
    cashbefore: i64,
}

#[derive(Deserialize)]
struct OrderRecord {
    offset: i64,
    timestamp: i64,
    side: Side,
    #[serde(deserialize_with = "deserialize_nanos")]
    time: i64,
    episode: Option<EpisodeRecord>,
}

#[derive(Deserialize)]
struct EpisodeRecord {
    offset: i64,
    timestamp: i64,
    window: u32,
}

impl AccountRecord {
    /// The account.
    ///
    /// # Errors
    /// It is none that a worker could have come to.
    pub(super) fn read(self) -> Result<Account, String> {
        let position =
            |p: PositionRecord| Position { shares: p.shares, price: p.price, cash_before: p.cashbefore };
        let cause = |e: EpisodeRecord| Cause {
            minutes: e.window,
            episode: Origin { offset: e.offset, timestamp: e.timestamp },
        };
        let order = |o: OrderRecord| Order {
            origin: Origin { offset: o.offset, timestamp: o.timestamp },
            side: o.side,
            time: o.time,
            cause: o.episode.map(cause),
        };
        let account = Account {
            origin: Origin { offset: self.offset, timestamp: self.timestamp },
            budget: self.budget,
            cash: self.cash,
            position: self.position.map(position),
            order: self.order.map(order),
        };
        if account.is_legal() {
            Ok(account)
        } else {
            Err("its account has amounts that none can have".into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::NANO;

    fn account() -> Account {
        let origin = |offset| Origin { offset, timestamp: -1 };
        Account {
            origin: origin(7),
            budget: 1_000 * NANO,
            cash: 1,
            position: Some(Position { shares: NANO / 2, price: 9 * NANO, cash_before: 1_000 * NANO }),
            order: Some(Order {
                origin: origin(9),
                side: Side::Uninvest,
                time: 1_700_000_060 * NANO,
                cause: Some(Cause { minutes: 15, episode: origin(8) }),
            }),
        }
    }

    fn written(account: &Account) -> Vec<u8> {
        let mut out = Vec::new();
        push_account(&mut out, account);
        out
    }

    fn read(json: &[u8]) -> Result<Account, String> {
        serde_json::from_slice::<AccountRecord>(json).map_err(|e| e.to_string()).and_then(AccountRecord::read)
    }

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let whole = account();
        assert_eq!(
            String::from_utf8(written(&whole)).unwrap(),
            r#"{"offset":7,"timestamp":-1,"budget":1000,"cash":0.000000001,"position":{"shares":0.5,"price":9,"cashbefore":1000},"order":{"offset":9,"timestamp":-1,"side":"uninvest","time":1700000060,"episode":{"offset":8,"timestamp":-1,"window":15}}}"#
        );
        let stopped = whole.order.map(|order| Order { cause: None, ..order });
        for account in
            [whole, Account { order: stopped, ..whole }, Account { position: None, order: None, ..whole }]
        {
            assert_eq!(read(&written(&account)), Ok(account));
        }
    }

    #[test]
    fn amounts_that_no_account_can_have_are_refused() {
        let position = account().position.unwrap();
        for impossible in [
            Account { cash: -1, ..account() },
            Account { position: None, ..account() },
            Account { budget: 0, ..account() },
            Account { position: Some(Position { shares: 0, ..position }), ..account() },
            Account { position: Some(Position { cash_before: 0, ..position }), ..account() },
        ] {
            assert!(read(&written(&impossible)).is_err(), "{impossible:?}");
        }
    }
}
