//! The paper account against a naive one: its amounts are the least and the greatest numbers that the rules allow,
//! found by bisection; its state is read off the entries so far.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

// Each test program uses a part of it.
#[allow(dead_code)]
mod kept;

use proptest::prelude::*;
use stockwatch_core::account::{Account, Cause, Entry, EntryType, Reason, Side, Signal, advance};
use stockwatch_core::wire::Direction;
use stockwatch_core::{NANO, Origin, Sample};
use stockwatch_crds::{Enter, Trade};

const MAX: i128 = i64::MAX as i128;
/// 10,000 basis points, in 10⁻⁹ of one.
const WHOLE: i128 = 10_000_000_000_000;
const UNIT: i128 = NANO as i128;

/// The least number from 0 on for which `is_enough` holds, as it does for all greater ones.
fn least(is_enough: impl Fn(i128) -> bool) -> i128 {
    let (mut low, mut high) = (0, 1);
    while !is_enough(high) {
        high *= 2;
    }
    while low < high {
        let middle = (low + high) / 2;
        if is_enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The greatest number from 0 on for which `fits` holds, as it does for all smaller ones.
fn greatest(fits: impl Fn(i128) -> bool) -> i128 {
    least(|number| !fits(number + 1))
}

fn fits(number: i128) -> Option<i64> {
    (number <= MAX).then(|| i64::try_from(number).unwrap())
}

/// The account as the entries so far tell it, with the event time of the open order.
#[derive(Default)]
struct Oracle {
    entries: Vec<Entry>,
    ordered_at: i64,
    budget: i64,
}

impl Oracle {
    fn last(&self) -> Option<&Entry> {
        let over = |entry: &&Entry| matches!(entry.entry_type, EntryType::Void | EntryType::Close);
        self.entries.last().filter(|entry| !over(entry))
    }

    fn open(&self) -> Option<Entry> {
        self.last().filter(|entry| entry.entry_type == EntryType::Order).copied()
    }

    /// The fill that made the position.
    fn entered(&self) -> Option<Entry> {
        let last = self.last().filter(|entry| entry.shares > 0)?;
        let is_entry = |entry: &&Entry| entry.account == last.account && entry.side == Some(Side::Invest);
        self.entries.iter().rev().filter(is_entry).find(|entry| entry.entry_type == EntryType::Fill).copied()
    }

    /// The cash that the fill before was made of: what the entry before it says.
    fn cash_before(&self) -> i64 {
        let entered = self.entered().unwrap();
        let place = self.entries.iter().position(|entry| *entry == entered).unwrap();
        self.entries[place - 1].cash
    }

    fn say(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    fn quote(&mut self, trade: Option<&Trade>, quote: Sample, signal: Option<Signal>, origin: Origin) {
        let Some(trade) = trade else { return self.wind_up(quote.price) };
        if let Some(order) = self.open() {
            let done = self.settle(trade, quote, order);
            self.entries.extend(done);
        }
        if self.open().is_none() {
            self.order(trade, quote, signal, origin);
        }
    }

    fn settle(&self, trade: &Trade, quote: Sample, order: Entry) -> Option<Entry> {
        let cancel = |reason| Entry { entry_type: EntryType::Cancel, reason: Some(reason), ..order };
        let limit = self.ordered_at + i64::from(trade.max_wait) * 60 * NANO;
        if order.side == Some(Side::Invest) && quote.time > limit {
            return Some(cancel(Reason::MaxWait));
        }
        if quote.price <= 0 {
            return None;
        }
        let filled = match order.side.unwrap() {
            Side::Invest => Self::bought(trade, quote.price, order),
            Side::Uninvest => self.sold(trade, quote.price, order),
        };
        Some(filled.unwrap_or_else(|| cancel(Reason::OutOfRange)))
    }

    fn fee(trade: &Trade, amount: i64) -> i64 {
        let share = least(|fee| fee * WHOLE >= i128::from(amount) * i128::from(trade.fee_bps));
        i64::try_from(share).unwrap().max(trade.fee_minimum)
    }

    fn bought(trade: &Trade, price: i64, order: Entry) -> Option<Entry> {
        let worse = i128::from(price) * (WHOLE + i128::from(trade.slippage_bps));
        let price = fits(least(|price| price * WHOLE >= worse))?;
        let fee = Self::fee(trade, order.cash);
        if order.cash <= fee {
            return None;
        }
        let left = i128::from(order.cash - fee);
        let shares = fits(greatest(|shares| shares * i128::from(price) <= left * UNIT)).filter(|s| *s > 0)?;
        let cost = least(|cost| cost * UNIT >= i128::from(shares) * i128::from(price));
        let cash = i64::try_from(left - cost).unwrap();
        let (price, fee) = (Some(price), Some(fee));
        Some(Entry { entry_type: EntryType::Fill, reason: None, price, fee, cash, shares, ..order })
    }

    fn sold(&self, trade: &Trade, price: i64, order: Entry) -> Option<Entry> {
        let worse = i128::from(price) * (WHOLE - i128::from(trade.slippage_bps));
        let price = fits(greatest(|price| price * WHOLE <= worse))?;
        let proceeds = fits(greatest(|sum| sum * UNIT <= i128::from(order.shares) * i128::from(price)))?;
        let fee = Self::fee(trade, proceeds).min(proceeds);
        let cash = fits(i128::from(order.cash) + i128::from(proceeds - fee))?;
        let profit = Some(cash - self.cash_before());
        let (price, fee) = (Some(price), Some(fee));
        Some(Entry {
            entry_type: EntryType::Fill,
            reason: None,
            price,
            fee,
            profit,
            cash,
            shares: 0,
            ..order
        })
    }

    fn order(&mut self, trade: &Trade, quote: Sample, signal: Option<Signal>, origin: Origin) {
        let up = trade.enter == Enter::Up;
        let invests = |signal: &Signal| (signal.direction == Direction::Up) == up;
        let placed = |side, before: Option<&Entry>, cause: Option<Cause>| Entry {
            entry_type: EntryType::Order,
            side: Some(side),
            origin,
            account: before.map_or(origin, |entry| entry.account),
            cause,
            price: None,
            fee: None,
            profit: None,
            reason: cause.is_none().then_some(Reason::StopLoss),
            cash: before.map_or(trade.budget, |entry| entry.cash),
            shares: before.map_or(0, |entry| entry.shares),
        };
        let entry = if let Some(entered) = self.entered() {
            let exit = signal.filter(|signal| !invests(signal));
            let stopped = trade.stop_loss.is_some_and(|percent| {
                let lost = i128::from(entered.price.unwrap()) - i128::from(quote.price);
                lost * 100 * UNIT >= i128::from(entered.price.unwrap()) * i128::from(percent)
            });
            if exit.is_none() && !stopped {
                return;
            }
            placed(Side::Uninvest, self.last(), exit.map(|signal| signal.cause))
        } else {
            let Some(signal) = signal.filter(invests) else { return };
            let before = self.last().filter(|_| self.budget == trade.budget);
            let cash = before.map_or(trade.budget, |entry| entry.cash);
            if cash <= Self::fee(trade, cash) {
                return;
            }
            let entry = placed(Side::Invest, before, Some(signal.cause));
            self.budget = trade.budget;
            entry
        };
        self.ordered_at = quote.time;
        self.say(entry);
    }

    fn wind_up(&mut self, price: i64) {
        if let Some(order) = self.open() {
            self.say(Entry { entry_type: EntryType::Cancel, reason: Some(Reason::TradeRemoved), ..order });
        }
        let Some(last) = self.last().copied() else { return };
        if last.shares == 0 {
            // Over without a word: what comes is another account.
            self.budget = 0;
            return;
        }
        if price <= 0 {
            return;
        }
        let proceeds = greatest(|sum| sum * UNIT <= i128::from(last.shares) * i128::from(price));
        let Some(cash) = fits(proceeds + i128::from(last.cash)) else { return };
        let closed = Entry {
            entry_type: EntryType::Close,
            side: Some(Side::Uninvest),
            origin: last.account,
            cause: None,
            price: Some(price),
            fee: None,
            profit: Some(cash - self.cash_before()),
            reason: Some(Reason::TradeRemoved),
            cash,
            shares: 0,
            ..last
        };
        self.say(closed);
        self.budget = 0;
    }
}

fn trades() -> impl Strategy<Value = Trade> {
    let amount = prop_oneof![0..=5 * NANO, 0..NANO * NANO];
    let bps = prop_oneof![Just(0), 0..=50 * NANO, 0..10_000 * NANO];
    let budget = prop_oneof![4 => Just(10_000 * NANO), 1 => Just(500 * NANO), 1 => 1..NANO * NANO];
    let stop_loss = prop::option::of(prop_oneof![1..=10 * NANO, 1..100 * NANO]);
    (any::<bool>(), budget, bps.clone(), amount, bps, 1_u32..40, stop_loss).prop_map(
        |(up, budget, fee_bps, fee_minimum, slippage_bps, max_wait, stop_loss)| Trade {
            minutes: 5,
            enter: if up { Enter::Up } else { Enter::Down },
            budget,
            fee_bps,
            fee_minimum,
            slippage_bps,
            max_wait,
            stop_loss,
        },
    )
}

/// One quote: minutes since the last one, price, alarm, and whether other terms (or none) come first.
#[derive(Debug, Clone)]
struct Step {
    wait: i64,
    price: i64,
    alarm: Option<Direction>,
    edit: Option<Option<Trade>>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let price = prop_oneof![
        10 => 90 * NANO..110 * NANO,
        1 => -NANO..=NANO,
        1 => 1..9_000_000_000 * NANO,
        1 => Just(9_000_000_000 * NANO),
        1 => 1_i64..100,
    ];
    let alarm = prop_oneof![Just(None), Just(Some(Direction::Up)), Just(Some(Direction::Down))];
    let edit = prop_oneof![
        8 => Just(None),
        1 => Just(Some(None)),
        2 => trades().prop_map(|trade| Some(Some(trade))),
    ];
    let step = (1_i64..30, price, alarm, edit).prop_map(|(wait, price, alarm, edit)| Step {
        wait,
        price,
        alarm,
        edit,
    });
    prop::collection::vec(step, 1..120)
}

fn origin(number: i64) -> Origin {
    Origin { offset: number, timestamp: -number }
}

/// Runs the account and the oracle side by side; gives the entries of both.
fn run(first: &Trade, steps: &[Step]) -> (Vec<Entry>, Vec<Entry>) {
    let (mut account, mut oracle): (Option<Box<Account>>, Oracle) = (None, Oracle::default());
    let (mut trade, mut time, mut entries) = (Some(first.clone()), 0, Vec::new());
    for (number, step) in (0..).zip(steps) {
        trade = step.edit.clone().unwrap_or(trade);
        time += step.wait * 60 * NANO;
        let quote = Sample { time, price: step.price };
        let cause = Cause { minutes: 5, episode: origin(number / 3) };
        let signal = step.alarm.map(|direction| Signal { direction, cause });
        entries.extend(
            advance(&mut account, trade.as_ref(), quote, origin(number), signal).into_iter().flatten(),
        );
        assert!(account.as_ref().is_none_or(|account| account.is_legal()), "{account:?}");
        oracle.quote(trade.as_ref(), quote, signal, origin(number));
    }
    (entries, oracle.entries)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_account_does_what_the_naive_one_does(first in trades(), steps in steps()) {
        let (entries, expected) = run(&first, &steps);
        prop_assert_eq!(entries, expected);
    }

    #[test]
    fn money_is_neither_made_nor_lost(first in trades(), steps in steps()) {
        let (entries, _) = run(&first, &steps);
        let mut invested: Option<i64> = None;
        let mut before = None;
        for (place, entry) in entries.iter().enumerate() {
            prop_assert!(entry.cash >= 0 && entry.shares >= 0);
            if let Some(profit) = entry.profit {
                prop_assert_eq!(profit, entry.cash - invested.take().unwrap());
            }
            if entry.entry_type == EntryType::Fill && entry.side == Some(Side::Invest) {
                invested = before;
            }
            if entry.shares == 0 {
                let own = entries[..=place].iter().filter(|other| other.account == entry.account);
                let budget = own.clone().next().unwrap().cash;
                prop_assert_eq!(entry.cash, budget + own.filter_map(|own| own.profit).sum::<i64>());
            }
            before = Some(entry.cash);
        }
    }
}

fn plain() -> Trade {
    kept::terms(5)
}

/// A quote of the minute at that price, with the alarm in that direction.
fn step(
    account: &mut Option<Box<Account>>,
    trade: Option<&Trade>,
    minute: i64,
    price: i64,
    alarm: Option<Direction>,
) -> Vec<Entry> {
    let quote = Sample { time: minute * 60 * NANO, price: price * NANO };
    let cause = Cause { minutes: 5, episode: origin(0) };
    let signal = alarm.map(|direction| Signal { direction, cause });
    advance(account, trade, quote, origin(minute), signal).into_iter().flatten().collect()
}

fn types(entries: &[Entry]) -> Vec<EntryType> {
    entries.iter().map(|entry| entry.entry_type).collect()
}

#[test]
fn the_quote_that_raises_an_order_never_fills_it_and_the_next_one_does() {
    let (mut account, trade) = (None, plain());
    let placed = step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    assert_eq!(types(&placed), [EntryType::Order]);
    let filled = step(&mut account, Some(&trade), 2, 111, None);
    assert_eq!(types(&filled), [EntryType::Fill]);
    assert_eq!((filled[0].shares, filled[0].cash, filled[0].origin), (9 * NANO, 0, origin(1)));
}

#[test]
fn a_fill_and_the_order_that_follows_from_the_same_quote_come_in_that_order() {
    let (mut account, trade) = (None, plain());
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    let both = step(&mut account, Some(&trade), 2, 100, Some(Direction::Down));
    assert_eq!(types(&both), [EntryType::Fill, EntryType::Order]);
    assert_eq!((both[1].side, both[1].origin), (Some(Side::Uninvest), origin(2)));
}

#[test]
fn alarms_that_call_for_what_is_there_already_signal_nothing() {
    let (mut account, trade) = (None, plain());
    assert!(step(&mut account, Some(&trade), 1, 100, Some(Direction::Down)).is_empty(), "nothing to sell");
    assert_eq!(account, None);
    step(&mut account, Some(&trade), 2, 100, Some(Direction::Up));
    assert_eq!(types(&step(&mut account, Some(&trade), 3, 100, Some(Direction::Up))), [EntryType::Fill]);
    assert!(step(&mut account, Some(&trade), 4, 100, Some(Direction::Up)).is_empty(), "invested already");
}

#[test]
fn an_order_to_invest_is_cancelled_after_its_wait_and_one_to_uninvest_never() {
    let (mut account, trade) = (None, plain());
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    let late = step(&mut account, Some(&trade), 17, 100, None);
    assert_eq!((late[0].entry_type, late[0].reason), (EntryType::Cancel, Some(Reason::MaxWait)));
    step(&mut account, Some(&trade), 18, 100, Some(Direction::Up));
    assert_eq!(
        types(&step(&mut account, Some(&trade), 33, 100, Some(Direction::Down))),
        [EntryType::Fill, EntryType::Order]
    );
    assert_eq!(types(&step(&mut account, Some(&trade), 30_000, 100, None)), [EntryType::Fill]);
}

#[test]
fn a_price_of_nothing_fills_no_order_and_leaves_it_open() {
    let (mut account, trade) = (None, plain());
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    for price in [0, -5] {
        assert!(step(&mut account, Some(&trade), 2, price, None).is_empty());
    }
    assert_eq!(types(&step(&mut account, Some(&trade), 3, 100, None)), [EntryType::Fill]);
}

#[test]
fn what_cannot_be_counted_is_cancelled() {
    let (mut account, trade) = (None, Trade { budget: 999_999_999 * NANO, ..plain() });
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    let quote = Sample { time: 120 * NANO, price: 1 };
    let entries = advance(&mut account, Some(&trade), quote, origin(2), None);
    assert_eq!(entries[0].unwrap().reason, Some(Reason::OutOfRange), "10²⁷ shares of 10⁻⁹");
    assert_eq!(account.unwrap().cash, trade.budget);
}

#[test]
fn another_budget_holds_once_there_is_no_position() {
    let (mut account, trade) = (None, plain());
    let richer = Trade { budget: 5_000 * NANO, ..plain() };
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    step(&mut account, Some(&richer), 2, 100, None);
    step(&mut account, Some(&richer), 3, 100, Some(Direction::Down));
    let sold = step(&mut account, Some(&richer), 4, 100, None);
    assert_eq!((sold[0].account, sold[0].profit), (origin(1), Some(-2 * NANO)));
    let next = step(&mut account, Some(&richer), 5, 100, Some(Direction::Up));
    assert_eq!((next[0].account, next[0].cash), (origin(5), richer.budget));
}

#[test]
fn a_fall_below_the_stop_loss_uninvests_without_an_alarm() {
    let (mut account, trade) = (None, Trade { stop_loss: Some(5 * NANO), fee_minimum: 0, ..plain() });
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    step(&mut account, Some(&trade), 2, 100, None);
    assert!(step(&mut account, Some(&trade), 3, 96, None).is_empty());
    let stopped = step(&mut account, Some(&trade), 4, 95, None);
    assert_eq!((stopped[0].side, stopped[0].cause), (Some(Side::Uninvest), None));
    assert_eq!(stopped[0].reason, Some(Reason::StopLoss));
    assert_eq!(step(&mut account, Some(&trade), 5, 94, None)[0].profit, Some(-60 * NANO));
}

#[test]
fn without_terms_what_is_open_is_cancelled_and_the_position_is_closed_at_the_quotes_own_price() {
    let (mut account, trade) = (None, Trade { slippage_bps: 100 * NANO, ..plain() });
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    step(&mut account, Some(&trade), 2, 100, Some(Direction::Down));
    assert_eq!(types(&step(&mut account, None, 3, 0, None)), [EntryType::Cancel], "nothing prices it");
    let closed = step(&mut account, None, 4, 110, None);
    assert_eq!(types(&closed), [EntryType::Close]);
    assert_eq!((closed[0].price, closed[0].fee, closed[0].shares), (Some(110 * NANO), None, 0));
    assert_eq!(account, None);
    assert!(step(&mut account, None, 5, 110, None).is_empty());
}

#[test]
fn a_void_leaves_the_account_as_it_stands() {
    let (mut account, trade) = (None, plain());
    step(&mut account, Some(&trade), 1, 100, Some(Direction::Up));
    step(&mut account, Some(&trade), 2, 111, None);
    let account = account.unwrap();
    let void = account.void(Reason::EntityRemoved);
    assert_eq!((void.entry_type, void.side, void.shares), (EntryType::Void, None, 9 * NANO));
    assert_eq!(void, account.void(Reason::EntityRemoved));
    assert_eq!((void.origin, void.account), (origin(1), origin(1)));
}
