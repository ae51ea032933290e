//! The paper account of one entity: its cash, its position, and at most one open order. Pure and exact.
//!
//! Cash, prices and shares are integers of 10⁻⁹, products are of 128 bits, and every rounding is against the account.
//! [`advance`] moves it by an accepted newest quote: first what is open is cancelled or filled, then this quote's alarm
//! or the stop loss gives an order, which a later quote fills.

use serde::Deserialize;
use stockwatch_crds::{Enter, Trade};

use crate::NANO;
use crate::average::Direction;
use crate::sample::{Origin, Sample};

const MINUTE: i64 = 60 * NANO;
/// The whole, in the unit of [`Trade::fee_bps`]: 10⁻⁹ of a basis point.
const WHOLE_BPS: i128 = 10_000 * NANO as i128;
/// The whole, in the unit of [`Trade::stop_loss`]: 10⁻⁹ of one percent.
const WHOLE_PERCENT: i128 = 100 * NANO as i128;

/// What an order does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Turns all cash into a position.
    Invest,
    /// Turns the position into cash.
    Uninvest,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Invest, Self::Uninvest];
}

/// An alarm of the window that the account follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Where the average moved to.
    pub direction: Direction,
    /// Its window and episode.
    pub cause: Cause,
}

/// The alarm behind an order; both follow from the same record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// Its window in minutes.
    pub minutes: u32,
    /// The record that raised the first alarm of its episode.
    pub episode: Origin,
}

/// What was bought and not sold yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many, in 10⁻⁹; above 0.
    pub shares: i64,
    /// The price paid for each, in 10⁻⁹; above 0.
    pub price: i64,
    /// The cash before that, in 10⁻⁹.
    pub cash_before: i64,
}

/// An order that no quote has filled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The quote that gave it.
    pub origin: Origin,
    /// What it does.
    pub side: Side,
    /// Event time of that quote, in nanoseconds.
    pub time: i64,
    /// The alarm behind it; `None`: the stop loss.
    pub cause: Option<Cause>,
}

/// The account of one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// That of its first order.
    pub origin: Origin,
    /// What it began with, in 10⁻⁹ of the currency.
    pub budget: i64,
    /// In 10⁻⁹ of the currency, never below 0; without a position it is the budget and all profits.
    pub cash: i64,
    /// `None`: all is cash.
    pub position: Option<Position>,
    /// `None`: nothing is open.
    pub order: Option<Order>,
}

/// What an entry of the ledger is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryType {
    /// An order was placed.
    Order,
    /// A quote filled it.
    Fill,
    /// It was cancelled.
    Cancel,
    /// The position was sold since there are no accounts any more.
    Close,
    /// The account is over as it stands, with its position, which nothing prices any more.
    Void,
}

/// Why an entry was made, where its type does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The price fell below the price paid by the stop loss.
    StopLoss,
    /// No quote came in time to fill the order.
    MaxWait,
    /// The amounts do not fit: cash that buys nothing, or numbers beyond 9·10⁹.
    OutOfRange,
    /// The StockWatch has no `trade` any more.
    TradeRemoved,
    /// The StockWatch does not list the entity any more.
    EntityRemoved,
    /// The entity's quotes have another currency.
    EntityBeganAnew,
}

/// What an account did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub entry_type: EntryType,
    /// Of the order; a close uninvests, and a void has none.
    pub side: Option<Side>,
    /// That of the order, which its fill and its cancel share; of a close and a void the account's.
    pub origin: Origin,
    /// The account's.
    pub account: Origin,
    /// The alarm behind the order.
    pub cause: Option<Cause>,
    /// What one share cost or gave, slippage included, in 10⁻⁹.
    pub price: Option<i64>,
    /// The fill's fee, in 10⁻⁹.
    pub fee: Option<i64>,
    /// The cash after it less the cash before the position, in 10⁻⁹.
    pub profit: Option<i64>,
    /// Why.
    pub reason: Option<Reason>,
    /// The cash after it, in 10⁻⁹.
    pub cash: i64,
    /// The shares after it, in 10⁻⁹.
    pub shares: i64,
}

/// Moves the account of an entity by one of its quotes, accepted and its newest, of the raw record `origin`; returns
/// what it did, in order.
///
/// `trade` are the terms in force, `None` where there are none any more. `signal` is the quote's alarm in the window of
/// these terms. An account begins with its first order.
///
/// ```
/// use stockwatch_core::account::{Cause, EntryType, Signal, advance};
/// use stockwatch_core::{NANO, Origin, Sample, wire::Direction};
/// use stockwatch_crds::{Enter, Trade};
///
/// let trade = Trade {
///     minutes: 5, enter: Enter::Up, budget: 1_000 * NANO, fee_bps: 0, fee_minimum: NANO, slippage_bps: 0,
///     max_wait: 15, stop_loss: None,
/// };
/// let (first, next) = (Origin { offset: 7, timestamp: 0 }, Origin { offset: 8, timestamp: 0 });
/// let up = Signal { direction: Direction::Up, cause: Cause { minutes: 5, episode: first } };
/// let mut account = None;
/// let quote = |time: i64, price: i64| Sample { time: time * NANO, price: price * NANO };
/// let [_, ordered] = advance(&mut account, Some(&trade), quote(60, 100), first, Some(up));
/// assert_eq!(ordered.map(|entry| (entry.entry_type, entry.cash)), Some((EntryType::Order, 1_000 * NANO)));
/// let [filled, _] = advance(&mut account, Some(&trade), quote(120, 111), next, None);
/// let filled = filled.ok_or("the next quote fills it")?;
/// assert_eq!((filled.origin, filled.shares, filled.fee), (first, 9 * NANO, Some(NANO)));
/// assert_eq!(filled.cash, 0);
/// # Ok::<(), &str>(())
/// ```
pub fn advance(
    account: &mut Option<Box<Account>>,
    trade: Option<&Trade>,
    quote: Sample,
    origin: Origin,
    signal: Option<Signal>,
) -> [Option<Entry>; 2] {
    let Some(trade) = trade else { return wind_up(account, quote) };
    let settled = account.as_mut().and_then(|account| account.settle(trade, quote));
    [settled, order(account, trade, quote, origin, signal)]
}

/// There are no accounts any more: cancels what is open, and closes the position without fee or slippage.
fn wind_up(account: &mut Option<Box<Account>>, quote: Sample) -> [Option<Entry>; 2] {
    let Some(open) = account else { return [None, None] };
    let cancelled = open.order.take().map(|order| open.cancelled(order, Reason::TradeRemoved));
    let closed = open.position.and_then(|position| open.close(position, quote.price));
    // A quote that cannot price it leaves the position to the next one.
    if open.position.is_none() {
        *account = None;
    }
    [cancelled, closed]
}

/// Places the order that follows from the quote's alarm or from the stop loss, if nothing is open.
fn order(
    account: &mut Option<Box<Account>>,
    trade: &Trade,
    quote: Sample,
    origin: Origin,
    signal: Option<Signal>,
) -> Option<Entry> {
    let enters = |signal: &Signal| {
        matches!((signal.direction, trade.enter), (Direction::Up, Enter::Up) | (Direction::Down, Enter::Down))
    };
    if account.as_ref().is_some_and(|account| account.order.is_some()) {
        return None;
    }
    if let Some(account) = account
        && let Some(position) = account.position
    {
        let exit = signal.filter(|signal| !enters(signal));
        if exit.is_none() && !is_stopped(&position, trade, quote.price) {
            return None;
        }
        let cause = exit.map(|signal| signal.cause);
        return Some(account.place(origin, Side::Uninvest, quote.time, cause));
    }
    let cause = signal.filter(enters)?.cause;
    let kept = account.as_ref().filter(|account| account.budget == trade.budget);
    let cash = kept.map_or(trade.budget, |account| account.cash);
    if cash <= fee(cash, trade) {
        return None;
    }
    let begun = Account { origin, budget: trade.budget, cash, position: None, order: None };
    let account = match account {
        Some(account) if account.budget == trade.budget => account,
        other => other.insert(Box::new(begun)),
    };
    Some(account.place(origin, Side::Invest, quote.time, Some(cause)))
}

/// Whether the price is below the price paid by the stop loss.
fn is_stopped(position: &Position, trade: &Trade, price: i64) -> bool {
    trade.stop_loss.is_some_and(|percent| {
        i128::from(price) * WHOLE_PERCENT
            <= i128::from(position.price) * (WHOLE_PERCENT - i128::from(percent))
    })
}

/// The fee of a fill of this amount.
fn fee(amount: i64, trade: &Trade) -> i64 {
    let share = (i128::from(amount) * i128::from(trade.fee_bps) + WHOLE_BPS - 1) / WHOLE_BPS;
    // Of less than all basis points it is at most the amount.
    trade.fee_minimum.max(i64::try_from(share).unwrap_or(amount))
}

/// `price` · `shares` in 10⁻⁹, rounded down.
fn amount(price: i64, shares: i64) -> i128 {
    i128::from(price) * i128::from(shares) / i128::from(NANO)
}

impl Account {
    /// How many shares it has, in 10⁻⁹.
    pub fn shares(&self) -> i64 {
        self.position.map_or(0, |position| position.shares)
    }

    /// Whether [`advance`] can have led to this: an account that is read back is used only then.
    pub fn is_legal(&self) -> bool {
        self.budget > 0
            && self.cash >= 0
            && self.position.is_none_or(|p| p.shares > 0 && p.price > 0 && p.cash_before >= self.cash)
            && self.order.is_none_or(|o| (o.side == Side::Uninvest) == self.position.is_some())
    }

    /// The profits of the positions that ended, in 10⁻⁹ of the currency.
    pub fn profit(&self) -> i64 {
        self.position.map_or(self.cash, |position| position.cash_before) - self.budget
    }

    /// What the open position would add to [`Self::profit`] if it were sold for this price above 0 on these terms; 0
    /// without one, or where the sale could not be filled.
    pub fn open_profit(mut self, trade: &Trade, price: i64) -> i64 {
        self.uninvest(trade, price).and_then(|(_, _, profit)| profit).unwrap_or(0)
    }

    /// The profit of buy and hold: the budget is invested at one price and sold at another, both above 0, on these
    /// terms; 0 where nothing can be bought.
    pub fn hold_profit(trade: &Trade, bought: i64, sold: i64) -> i64 {
        let (origin, budget) = (Origin { offset: 0, timestamp: 0 }, trade.budget);
        let mut account = Self { origin, budget, cash: budget, position: None, order: None };
        account.invest(trade, bought).map_or(0, |_| account.open_profit(trade, sold))
    }

    /// Ends the account as it stands: its entity goes, or begins anew.
    pub fn void(self, reason: Reason) -> Entry {
        Entry { reason: Some(reason), ..self.entry(EntryType::Void, self.origin) }
    }

    fn entry(&self, entry_type: EntryType, origin: Origin) -> Entry {
        Entry {
            entry_type,
            side: None,
            origin,
            account: self.origin,
            cause: None,
            price: None,
            fee: None,
            profit: None,
            reason: None,
            cash: self.cash,
            shares: self.shares(),
        }
    }

    fn order_entry(&self, entry_type: EntryType, order: Order) -> Entry {
        Entry { side: Some(order.side), cause: order.cause, ..self.entry(entry_type, order.origin) }
    }

    fn place(&mut self, origin: Origin, side: Side, time: i64, cause: Option<Cause>) -> Entry {
        let order = Order { origin, side, time, cause };
        self.order = Some(order);
        let reason = cause.is_none().then_some(Reason::StopLoss);
        Entry { reason, ..self.order_entry(EntryType::Order, order) }
    }

    fn cancelled(&self, order: Order, reason: Reason) -> Entry {
        Entry { reason: Some(reason), ..self.order_entry(EntryType::Cancel, order) }
    }

    /// Cancels or fills the open order; it stays open where the quote does neither.
    fn settle(&mut self, trade: &Trade, quote: Sample) -> Option<Entry> {
        let order = self.order?;
        let waited = quote.time.saturating_sub(order.time);
        let filled = match order.side {
            Side::Invest if waited > i64::from(trade.max_wait) * MINUTE => {
                self.order = None;
                return Some(self.cancelled(order, Reason::MaxWait));
            }
            _ if quote.price <= 0 => return None,
            Side::Invest => self.invest(trade, quote.price),
            Side::Uninvest => self.uninvest(trade, quote.price),
        };
        self.order = None;
        let Some((price, fee, profit)) = filled else {
            return Some(self.cancelled(order, Reason::OutOfRange));
        };
        let entry = self.order_entry(EntryType::Fill, order);
        Some(Entry { price: Some(price), fee: Some(fee), profit, ..entry })
    }

    /// Buys for all cash; returns price and fee. `None` where it buys nothing, or more than can be counted.
    fn invest(&mut self, trade: &Trade, price: i64) -> Option<(i64, i64, Option<i64>)> {
        let with_slippage = i128::from(price) * (WHOLE_BPS + i128::from(trade.slippage_bps));
        let price = i64::try_from((with_slippage + WHOLE_BPS - 1) / WHOLE_BPS).ok()?;
        let fee = fee(self.cash, trade);
        let left = self.cash.checked_sub(fee).filter(|left| *left > 0)?;
        let shares = i64::try_from(i128::from(left) * i128::from(NANO) / i128::from(price)).ok()?;
        if shares == 0 {
            return None;
        }
        // At most `left`, since the shares were rounded down.
        let cost = (i128::from(price) * i128::from(shares) + i128::from(NANO) - 1) / i128::from(NANO);
        let cash = left - i64::try_from(cost).ok()?;
        self.position = Some(Position { shares, price, cash_before: self.cash });
        self.cash = cash;
        Some((price, fee, None))
    }

    /// Sells the position; returns price, fee and profit. `None` where the cash would be more than can be counted.
    fn uninvest(&mut self, trade: &Trade, price: i64) -> Option<(i64, i64, Option<i64>)> {
        let position = self.position?;
        let with_slippage = i128::from(price) * (WHOLE_BPS - i128::from(trade.slippage_bps));
        let price = i64::try_from(with_slippage / WHOLE_BPS).ok()?;
        let proceeds = i64::try_from(amount(price, position.shares)).ok()?;
        let fee = fee(proceeds, trade).min(proceeds);
        self.cash = self.cash.checked_add(proceeds - fee)?;
        self.position = None;
        Some((price, fee, Some(self.cash - position.cash_before)))
    }

    /// Sells the position at the quote's own price; `None` where that price sells nothing.
    fn close(&mut self, position: Position, price: i64) -> Option<Entry> {
        let proceeds = i64::try_from(amount(price, position.shares)).ok().filter(|_| price > 0)?;
        self.cash = self.cash.checked_add(proceeds)?;
        self.position = None;
        Some(Entry {
            side: Some(Side::Uninvest),
            price: Some(price),
            profit: Some(self.cash - position.cash_before),
            reason: Some(Reason::TradeRemoved),
            ..self.entry(EntryType::Close, self.origin)
        })
    }
}
