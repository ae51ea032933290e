//! The paper accounts that rules with `spec.trade` would have had, begun with the range; nothing of them is an order.

use std::fmt::Write;

use serde::ser::{Error, Serialize, Serializer};
use serde_json::value::RawValue;
use stockwatch_core::account::{Account, EntryType, Signal, advance};
use stockwatch_core::{Accepted, Alarm, Episode, push_ratio};

use super::plan::{Plan, Trading};

/// 10⁻⁹ of a currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount(pub i128);

impl Amount {
    /// Appends it with at most so many decimals.
    fn push(self, out: &mut Vec<u8>, places: usize) {
        if self.0 < 0 {
            out.push(b'-');
        }
        push_ratio(out, self.0.unsigned_abs(), u128::from(stockwatch_core::NANO.unsigned_abs()), places);
    }

    /// As tables have it: to the hundredth.
    pub(super) fn text(self) -> String {
        let mut text = Vec::new();
        self.push(&mut text, 2);
        match &*String::from_utf8_lossy(&text) {
            "-0" => "0".to_owned(),
            text => text.to_owned(),
        }
    }
}

impl Serialize for Amount {
    /// An exact number, as the ledger has it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Vec::new();
        self.push(&mut text, 9);
        let text = String::from_utf8(text).map_err(S::Error::custom)?;
        RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// What accounts of one currency come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Money {
    /// Of the quotes; absent where they say none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Box<str>>,
    /// The sum of the fills' profits.
    pub profit: Amount,
    /// What the open positions would add if they were sold at their tickers' last quotes.
    pub open: Amount,
    /// The profit of accounts that invest at their tickers' first quotes and sell at the last ones.
    pub hold: Amount,
}

/// What the paper accounts of rules come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Paper {
    /// Orders that were filled.
    pub fills: u64,
    /// By currency, in alphabetical order: sums of several mean nothing.
    pub money: Vec<Money>,
}

impl Paper {
    /// Adds other accounts'.
    pub(super) fn add(&mut self, other: &Self) {
        self.fills += other.fills;
        other.money.iter().for_each(|money| self.add_money(money));
    }

    fn add_money(&mut self, other: &Money) {
        match self.money.binary_search_by(|own| own.currency.cmp(&other.currency)) {
            Ok(at) => {
                let own = &mut self.money[at];
                own.profit.0 += other.profit.0;
                own.open.0 += other.open.0;
                own.hold.0 += other.hold.0;
            }
            Err(at) => self.money.insert(at, other.clone()),
        }
    }

    /// One of the amounts in each currency, for a table.
    pub(super) fn text(&self, amount: impl Fn(&Money) -> Amount) -> String {
        let mut text = String::new();
        for money in &self.money {
            let between = if text.is_empty() { "" } else { ", " };
            let currency = money.currency.as_ref().map_or(String::new(), |currency| format!(" {currency}"));
            // Writing into a string cannot fail.
            let _ = write!(text, "{between}{}{currency}", amount(money).text());
        }
        text
    }
}

/// One way to trade, so far.
#[derive(Debug, Clone, Default)]
struct Running {
    account: Option<Box<Account>>,
    /// What came of it, the account that is still there aside.
    paper: Paper,
}

/// The accounts of one ticker, one for each way to trade.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    running: Vec<Running>,
    currency: Option<Box<str>>,
    /// The first and the last price above 0 of a quote that was the newest.
    prices: Option<(i64, i64)>,
}

impl Accounts {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { running: vec![Running::default(); plan.tradings.len()], ..Self::default() }
    }

    /// Moves the accounts by a quote that was judged; `episode_of` gives the episode of a line's last alarm.
    pub(super) fn trade(
        &mut self,
        plan: &Plan,
        quote: &Accepted<'_>,
        episode_of: impl Fn(usize) -> Option<Episode>,
    ) {
        if self.running.is_empty() || quote.late {
            return;
        }
        if quote.previous_time.is_none() {
            // It may have begun anew, in another currency: its accounts are void.
            self.end(plan);
        }
        let says = quote.entity.currency.as_ref().map(|currency| &*currency.code);
        if says != self.currency.as_deref() {
            self.currency = says.map(Box::from);
        }
        for (trading, running) in plan.tradings.iter().zip(&mut self.running) {
            // No other quote is at the time of a newest one.
            let episode = episode_of(trading.line).filter(|episode| episode.last == quote.quote.time);
            if episode.is_none() && running.account.is_none() {
                continue;
            }
            let signal = episode.and_then(|episode| signal(trading, quote, episode));
            let trade = Some(&trading.trade);
            let moves = advance(&mut running.account, trade, quote.quote, quote.origin, signal);
            let fills = moves.iter().flatten().filter(|entry| entry.entry_type == EntryType::Fill).count();
            running.paper.fills += u64::try_from(fills).unwrap_or(0);
        }
        let price = quote.quote.price;
        if price > 0 {
            self.prices = Some((self.prices.map_or(price, |(first, _)| first), price));
        }
    }

    /// What the accounts of each way to trade come to by now.
    pub(super) fn papers(&self, plan: &Plan) -> Vec<Paper> {
        let all = plan.tradings.iter().zip(&self.running);
        all.map(|(trading, running)| self.paper(trading, running)).collect()
    }

    fn paper(&self, trading: &Trading, running: &Running) -> Paper {
        let mut paper = running.paper.clone();
        if let Some((first, last)) = self.prices {
            let trade = &trading.trade;
            let account = running.account.as_deref();
            paper.add_money(&Money {
                currency: self.currency.clone(),
                profit: Amount(account.map_or(0, Account::profit).into()),
                open: Amount(account.map_or(0, |account| account.open_profit(trade, last)).into()),
                hold: Amount(Account::hold_profit(trade, first, last).into()),
            });
        }
        paper
    }

    /// Ends all accounts as they stand.
    fn end(&mut self, plan: &Plan) {
        let papers = self.papers(plan);
        self.prices = None;
        for (running, paper) in self.running.iter_mut().zip(papers) {
            *running = Running { account: None, paper };
        }
    }
}

/// The signal of the alarm that a quote raises in the window that is followed.
fn signal(trading: &Trading, quote: &Accepted<'_>, episode: Episode) -> Option<Signal> {
    let place = trading.place;
    let (average, previous) = (quote.entity.averages().nth(place)?, (*quote.previous.get(place)?)?);
    let alarm = Alarm { place, average, previous, is_gap: false, episode };
    Some(alarm.signal(trading.trade.minutes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn paper(currency: Option<&str>, profit: i128) -> Paper {
        let amount = Amount(profit);
        let money = Money { currency: currency.map(Box::from), profit: amount, ..Money::default() };
        Paper { fills: 1, money: vec![money] }
    }

    #[test]
    fn currencies_are_summed_each_for_itself() {
        let mut all = Paper::default();
        for (currency, profit) in
            [(Some("USD"), 1_500_000_000), (None, -1), (Some("EUR"), -7), (Some("USD"), 5)]
        {
            all.add(&paper(currency, profit));
        }
        assert_eq!(all.text(|money| money.profit), "0, 0 EUR, 1.5 USD");
        assert_eq!(
            serde_json::to_string(&all.money[2]).unwrap(),
            r#"{"currency":"USD","profit":1.500000005,"open":0,"hold":0}"#
        );
        assert_eq!((all.fills, all.money[0].profit), (4, Amount(-1)));
    }
}
