//! What the ledger should say, from the accepted quotes, the alarms as written and the terms that held: a naive account
//! for each entity, with every amount found as the least or the greatest number that the rules allow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::compare::id;
use crate::decimal::{ONE, parse, ratio};
use crate::oracle::Accepted;
use crate::topics::Record;
use crate::watch::Watch;

/// 10,000 basis points, in units of 10⁻⁹.
const WHOLE: i128 = 10_000 * ONE;
const MAX: i128 = i64::MAX as i128;

/// The terms that held from a raw offset of a partition on.
#[derive(Debug, Clone)]
pub struct Held {
    /// The first raw offset.
    pub from: i64,
    /// The StockWatch with the terms, and with the generation that entries name; without one, that may be any.
    pub watch: Watch,
    /// Whether there was a ledger to write.
    pub has_ledger: bool,
}

#[derive(Debug, Clone)]
struct Open {
    id: String,
    side: &'static str,
    time: i128,
    alarm: String,
}

#[derive(Debug, Clone)]
struct Account {
    id: String,
    budget: i128,
    cash: i128,
    shares: i128,
    /// The price paid, and the cash before.
    paid: (i128, i128),
    open: Option<Open>,
    /// Symbol and currency of the entity's last quote, and its time.
    labels: String,
    time: i128,
}

/// Panics where the `ledger` of a partition is not what follows from its quotes and alarms.
pub fn assert_ledger(quotes: &[Accepted], alarms: &[Record], ledger: &[Record], held: &[Held]) {
    let mut of_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
    alarms.iter().for_each(|alarm| of_key.entry(alarm.key_text()).or_default().push(alarm.text()));
    let mut book = Book { left: Some(ledger), ..Book::default() };
    let mut places = held.iter().peekable();
    let mut now: Option<&Held> = None;
    for quote in quotes {
        while let Some(next) = places.next_if(|next| next.from <= quote.offset) {
            book.edit(next);
            now = Some(next);
        }
        let held = now.unwrap_or_else(|| panic!("no terms for {quote:?}"));
        if quote.newest == quote.time && held.has_ledger {
            let window = held.watch.trade["window"].as_str();
            let alarm = window.and_then(|window| written(quote, &of_key, window));
            book.quote(quote, alarm, &held.watch);
        }
    }
    places.for_each(|held| book.edit(held));
    let left: Vec<String> = book.left.into_iter().flatten().map(Record::text).collect();
    assert!(left.is_empty(), "entries of the ledger that nothing caused: {left:#?}");
}

/// What paper accounts come to: the fills, and by 10⁻⁹ the profits of those, what the open positions would add if they
/// were sold at their entities' last quotes, and what those accounts would make that hold from first quotes to last ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Paper {
    /// How many.
    pub fills: u64,
    /// Their profits.
    pub profit: i128,
    /// Of what is not sold.
    pub open: i128,
    /// Of buy and hold.
    pub hold: i128,
}

/// What the accounts of some quotes come to by these terms, none of which there was before.
pub fn paper(quotes: &[Accepted], watch: &Watch) -> Paper {
    let mut book = Book::default();
    let window: u32 = watch.trade["window"].as_str().unwrap().trim_end_matches('m').parse().unwrap();
    let newest: Vec<&Accepted> = quotes.iter().filter(|quote| quote.newest == quote.time).collect();
    for quote in &newest {
        let alarms = watch.alarms(quote);
        let average = alarms.iter().map(|(average, _)| average).find(|average| average.minutes == window);
        let alarm = average.map(|average| {
            let (new, old) = (average.mean, average.previous.unwrap());
            let rises = new.sum * old.count > old.sum * new.count;
            json!({"direction": if rises { "up" } else { "down" }})
        });
        book.quote(quote, alarm, watch);
    }
    let mut paper = Paper { fills: book.fills, ..Paper::default() };
    for entity in newest.iter().map(|quote| &quote.entity).collect::<BTreeSet<_>>() {
        let own: Vec<&&Accepted> =
            newest.iter().filter(|quote| quote.entity == *entity && quote.price > 0).collect();
        let (Some(first), Some(last)) = (own.first(), own.last()) else { continue };
        if let Some(mut account) = book.accounts.remove(entity) {
            let invested = account.shares > 0;
            let before = if invested { account.paid.1 } else { account.cash };
            paper.profit += before - account.budget;
            if invested && account.sell(&watch.trade, last).is_some() {
                paper.open += account.cash - before;
            }
        }
        let mut hold = Account::begun(number(&watch.trade, "budget", "10000"));
        if hold.buy(&watch.trade, first).is_some() && hold.sell(&watch.trade, last).is_some() {
            paper.hold += hold.cash - hold.budget;
        }
    }
    paper
}

/// The least number from 0 on for which `is_enough` holds, as it does for all greater ones.
fn least(is_enough: impl Fn(i128) -> bool) -> i128 {
    let (mut low, mut high) = (0, 1);
    while !is_enough(high) {
        high *= 2;
    }
    while low < high {
        let middle = (low + high) / 2;
        if is_enough(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

fn greatest(fits: impl Fn(i128) -> bool) -> i128 {
    least(|number| !fits(number + 1))
}

fn number(trade: &Value, field: &str, default: &str) -> i128 {
    parse(trade[field].as_str().unwrap_or(default)).unwrap()
}

fn fee(trade: &Value, amount: i128) -> i128 {
    let share = least(|fee| fee * WHOLE >= amount * number(trade, "feeBps", "0"));
    share.max(number(trade, "feeMinimum", "0"))
}

fn amount(field: &str, value: i128) -> String {
    format!(r#""{field}":{},"#, ratio(value, ONE, 9))
}

#[derive(Default)]
struct Book<'a> {
    accounts: BTreeMap<String, Account>,
    /// What the ledger has; `None`: there is none to compare with.
    left: Option<&'a [Record]>,
    ids: BTreeSet<String>,
    fills: u64,
}

impl Book<'_> {
    /// The next entry is this one, `ID` and `GENERATION` standing for those that it has; returns its id.
    fn expect(&mut self, entity: &str, expected: &str) -> String {
        self.fills += u64::from(expected.contains(r#""type":"fill""#));
        let Some(left) = self.left else { return "ID".into() };
        let Some((record, left)) = left.split_first() else { panic!("not in the ledger: {expected}") };
        let id = id(record);
        let name = serde_json::to_string(entity).unwrap();
        let generation = record.json()["generation"].to_string();
        let expected = expected.replace("ID", &id).replace("GENERATION", &generation);
        let expected = format!(r#"{{"entityname":{name},{expected}}}"#);
        assert_eq!((record.key_text(), record.text()), (name, expected));
        self.left = Some(left);
        id
    }

    fn new_id(&mut self, id: &str) {
        assert!(self.left.is_none() || self.ids.insert(id.to_owned()), "the id of two orders: {id}");
    }

    /// Accounts of entities that are listed no more are void.
    fn edit(&mut self, held: &Held) {
        let shape = held.watch.shape();
        let gone = |entity: &String| !shape.wildcard && !shape.entities.contains(entity);
        let names: Vec<String> = self.accounts.keys().filter(|entity| gone(entity)).cloned().collect();
        assert!(names.len() < 2, "their voids come in no order: remove one at a time");
        for entity in names {
            let account = self.accounts.remove(&entity).unwrap();
            if held.has_ledger {
                let end = account.end(&held.watch);
                let reason = r#""reason":"entity_removed","#;
                let labels = &account.labels;
                let void =
                    format!(r#"{labels}"type":"void","id":"ID","account":"{}",{reason}{end}"#, account.id);
                let id = self.expect(&entity, &void);
                self.new_id(&id);
            }
        }
    }

    /// `alarm` is the quote's in the window that is followed.
    fn quote(&mut self, quote: &Accepted, alarm: Option<Value>, watch: &Watch) {
        let label = |field: &str, text: &Option<String>| {
            text.as_ref()
                .map_or_else(String::new, |text| format!(r#""{field}":{},"#, Value::from(text.as_str())))
        };
        let labels = label("symbol", &quote.symbol) + &label("currency", &quote.currency);
        let mut account = self.accounts.remove(&quote.entity);
        if let Some(account) = &mut account {
            (account.labels, account.time) = (labels.clone(), quote.time);
        }
        let account = if watch.trade.is_null() {
            account.and_then(|account| self.wind_up(account, quote, watch))
        } else {
            if let Some(account) = &mut account {
                self.settle(account, quote, watch);
            }
            self.order(account, quote, alarm, watch, labels)
        };
        self.accounts.extend(account.map(|account| (quote.entity.clone(), account)));
    }

    fn wind_up(&mut self, mut account: Account, quote: &Accepted, watch: &Watch) -> Option<Account> {
        if let Some(open) = account.open.take() {
            let cancel = account.of_order("cancel", &open, r#""reason":"trade_removed","#, watch);
            self.expect(&quote.entity, &cancel);
        }
        if account.shares == 0 {
            return None;
        }
        if quote.price <= 0 {
            return Some(account);
        }
        account.cash += account.shares * quote.price / ONE;
        account.shares = 0;
        let Account { labels, id, .. } = &account;
        let (price, profit) = (amount("price", quote.price), amount("profit", account.cash - account.paid.1));
        let end = account.end(watch);
        let reason = r#""reason":"trade_removed","#;
        let close = format!(
            r#"{labels}"type":"close","side":"uninvest","id":"ID","account":"{id}",{price}{profit}{reason}{end}"#
        );
        let id = self.expect(&quote.entity, &close);
        self.new_id(&id);
        None
    }

    fn settle(&mut self, account: &mut Account, quote: &Accepted, watch: &Watch) {
        let trade = &watch.trade;
        let Some(open) = account.open.clone() else { return };
        let wait = trade["maxWait"].as_str().unwrap_or("15m").trim_end_matches('m').parse::<i128>().unwrap();
        let cancelled = |reason: &str| ("cancel", format!(r#""reason":"{reason}","#));
        let (kind, says) = if open.side == "invest" && quote.time - open.time > wait * 60 * ONE {
            cancelled("max_wait")
        } else if quote.price <= 0 {
            return;
        } else {
            let bought =
                if open.side == "invest" { account.buy(trade, quote) } else { account.sell(trade, quote) };
            bought.map_or_else(|| cancelled("out_of_range"), |says| ("fill", says))
        };
        account.open = None;
        let entry = account.of_order(kind, &open, &says, watch);
        self.expect(&quote.entity, &entry);
    }

    fn order(
        &mut self,
        account: Option<Account>,
        quote: &Accepted,
        alarm: Option<Value>,
        watch: &Watch,
        labels: String,
    ) -> Option<Account> {
        let trade = &watch.trade;
        if account.as_ref().is_some_and(|account| account.open.is_some()) {
            return account;
        }
        let enters = if trade["enter"] == "Down" { "down" } else { "up" };
        let calls = alarm.as_ref().map(|alarm| alarm["direction"] == enters);
        let invested = account.as_ref().filter(|account| account.shares > 0);
        let stopped = invested.is_some_and(|account| {
            trade["stopLoss"].as_str().is_some_and(|percent| {
                let percent = parse(percent.trim_end_matches('%')).unwrap();
                (account.paid.0 - quote.price) * 100 * ONE >= account.paid.0 * percent
            })
        });
        let side = match (invested, calls) {
            (Some(_), Some(false)) => "uninvest",
            (Some(_), _) if stopped => "uninvest",
            (None, Some(true)) => "invest",
            _ => return account,
        };
        let is_stop = invested.is_some() && calls != Some(false);
        let budget = number(trade, "budget", "10000");
        let (cash, is_new) = match &account {
            Some(account) if side == "uninvest" || account.budget == budget => (account.cash, false),
            _ => (budget, true),
        };
        if side == "invest" && cash <= fee(trade, cash) {
            return account;
        }
        let mut account = account.filter(|_| !is_new).unwrap_or_else(|| Account {
            cash,
            labels,
            time: quote.time,
            ..Account::begun(budget)
        });
        let (alarm, reason) = match alarm.filter(|_| !is_stop) {
            Some(alarm) => (format!(r#""alarm":{},"episode":{},"#, alarm["id"], alarm["episode"]), ""),
            None => (String::new(), r#""reason":"stop_loss","#),
        };
        let mut open = Open { id: "ID".into(), side, time: quote.time, alarm };
        let entry = account.of_order("order", &open, reason, watch);
        open.id = self.expect(&quote.entity, &entry);
        self.new_id(&open.id);
        account.id = account.id.replace("ID", &open.id);
        account.open = Some(open);
        Some(account)
    }
}

/// The alarm that a quote raised in a window, as written; `alarms` are values by key.
fn written(quote: &Accepted, alarms: &BTreeMap<String, Vec<String>>, window: &str) -> Option<Value> {
    let ends = format!(r#","lastupdatedate":{},"id":"#, ratio(quote.newest, ONE, 9));
    let key = format!("{}{}", Value::from(quote.entity.as_str()), window.trim_end_matches('m'));
    let of_quote = format!(r#""quotetime":{},"#, ratio(quote.time, ONE, 9));
    let mut of_key = alarms.get(&key)?.iter();
    let found = of_key.find(|alarm| alarm.contains(&of_quote) && alarm.contains(&ends))?;
    Some(serde_json::from_str(found).unwrap())
}

impl Account {
    fn begun(budget: i128) -> Self {
        Self {
            id: "ID".into(),
            budget,
            cash: budget,
            shares: 0,
            paid: (0, 0),
            open: None,
            labels: String::new(),
            time: 0,
        }
    }

    fn buy(&mut self, trade: &Value, quote: &Accepted) -> Option<String> {
        let worse = quote.price * (WHOLE + number(trade, "slippageBps", "0"));
        let price = least(|price| price * WHOLE >= worse);
        let fee = fee(trade, self.cash);
        let left = self.cash - fee;
        if price > MAX || left <= 0 {
            return None;
        }
        let shares = greatest(|shares| shares * price <= left * ONE);
        if shares == 0 || shares > MAX {
            return None;
        }
        self.paid = (price, self.cash);
        self.cash = left - least(|cost| cost * ONE >= shares * price);
        self.shares = shares;
        Some(amount("price", price) + &amount("fee", fee))
    }

    fn sell(&mut self, trade: &Value, quote: &Accepted) -> Option<String> {
        let worse = quote.price * (WHOLE - number(trade, "slippageBps", "0"));
        let price = greatest(|price| price * WHOLE <= worse);
        let proceeds = greatest(|sum| sum * ONE <= self.shares * price);
        let fee = fee(trade, proceeds).min(proceeds);
        if proceeds > MAX || self.cash + proceeds - fee > MAX {
            return None;
        }
        self.cash += proceeds - fee;
        self.shares = 0;
        Some(amount("price", price) + &amount("fee", fee) + &amount("profit", self.cash - self.paid.1))
    }

    fn of_order(&self, kind: &str, open: &Open, says: &str, watch: &Watch) -> String {
        let Open { id, side, alarm, .. } = open;
        let (labels, account, end) = (&self.labels, &self.id, self.end(watch));
        format!(
            r#"{labels}"type":"{kind}","side":"{side}","id":"{id}","account":"{account}",{alarm}{says}{end}"#
        )
    }

    fn end(&self, watch: &Watch) -> String {
        let (cash, shares) = (amount("cash", self.cash), amount("shares", self.shares));
        let generation = watch.generation.map_or("GENERATION".into(), |generation| generation.to_string());
        format!(r#"{cash}{shares}{}"generation":{generation}"#, amount("lastupdatedate", self.time))
    }
}
