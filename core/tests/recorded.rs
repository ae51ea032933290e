//! Storage tables as earlier releases wrote them, in `recorded/`: each is read, and goes on as a naive oracle says.
//!
//! A file has a line with what was committed, the rules by offset and the accounts, then the raw log, then the table's
//! records. It was written by the core of its first line's commit, and is never written again. Before a format changes,
//! the present one is recorded and gets a test of its own below:
//!
//!     RECORDED=$(git rev-parse --short HEAD) cargo test --release --workspace --test recorded -- --ignored
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod kept;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kept::{Kept, START, shape, terms};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stockwatch_core::account::{EntryType, Side};
use stockwatch_core::wire::CommitMetadata;
use stockwatch_core::{NANO, Shape, Verdict};
use stockwatch_crds::{Alarms, GapPolicy};

/// Windows and entities from a raw offset on.
#[derive(Clone, Deserialize, Serialize)]
struct Rules {
    from: i64,
    generation: u64,
    /// Minutes, and a tolerance in percent.
    windows: Vec<(u32, String)>,
    entities: Vec<String>,
    /// The minutes of `alarms.quiet`, and `alarms.minCount`; gaps are then skipped.
    #[serde(default)]
    alarms: Option<(u32, u64)>,
    /// The window that accounts follow.
    #[serde(default)]
    trade: Option<u32>,
}

impl Rules {
    fn shape(&self) -> Arc<Shape> {
        let windows: Vec<(u32, &str)> = self.windows.iter().map(|(m, t)| (*m, t.as_str())).collect();
        let shape = shape(self.generation, &windows, self.entities.iter().map(String::as_str), false);
        let skip = |(quiet, min_count)| Alarms { quiet: Some(quiet), gaps: GapPolicy::Skip, min_count };
        let alarms = self.alarms.map(skip).unwrap_or_default();
        Arc::new(Shape { alarms, trade: self.trade.map(terms), ..(*shape).clone() })
    }
}

/// By entity: cash and shares in 10⁻⁹, and whether an open order invests.
type Accounts = BTreeMap<String, (i64, i64, Option<bool>)>;

#[derive(Deserialize)]
struct Head {
    offset: i64,
    metadata: String,
    rules: Vec<Rules>,
    #[serde(default)]
    accounts: Accounts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Raw { value: String, timestamp: i64 },
    Table { key: String, record: Option<String> },
}

/// What an accepted quote gives for one window: sum and count, and the start and number of its alarm in its episode.
type Expected = (u32, i128, i128, Option<(i64, u64)>);

/// The log judged quote by quote, with nothing remembered but quotes, last averages and episodes.
#[derive(Default)]
struct Naive {
    rules: Vec<Rules>,
    /// First price of each time, in cents and seconds.
    quotes: HashMap<String, BTreeMap<i64, i128>>,
    last: HashMap<(String, u32), (i128, i128)>,
    /// Start and time of the last alarm, and how many they are.
    episodes: HashMap<(String, u32), (i64, i64, u64)>,
}

impl Naive {
    fn average(&self, entity: &str, minutes: u32) -> (i128, i128) {
        let quotes = &self.quotes[entity];
        let newest = *quotes.keys().last().unwrap();
        let within = quotes.iter().filter(|(time, _)| **time > newest - i64::from(minutes) * 60);
        within.fold((0, 0), |(sum, count), (_, cents)| (sum + cents, count + 1))
    }

    /// Forgets entities and windows that the rules at this offset no longer have.
    fn rule(&mut self, offset: i64) -> Rules {
        let rules = self.rules.iter().rfind(|rules| rules.from <= offset).unwrap().clone();
        let is_there = |(entity, minutes): &(String, u32)| {
            rules.entities.contains(entity) && rules.windows.iter().any(|(m, _)| m == minutes)
        };
        self.quotes.retain(|entity, _| rules.entities.contains(entity));
        self.last.retain(|of, _| is_there(of));
        self.episodes.retain(|of, _| is_there(of));
        rules
    }

    /// Empty if it is not accepted.
    fn judge(&mut self, offset: i64, entity: &str, time: i64, cents: i128) -> Vec<Expected> {
        let rules = self.rule(offset);
        let longest = i64::from(rules.windows.last().unwrap().0) * 60;
        if !rules.entities.iter().any(|listed| listed == entity) {
            return Vec::new();
        }
        let quotes = self.quotes.entry(entity.to_owned()).or_default();
        let newest = quotes.keys().last().copied().unwrap_or(i64::MIN / 2);
        if quotes.contains_key(&time) || time <= newest - longest {
            return Vec::new();
        }
        quotes.insert(time, cents);
        let of = |(minutes, tolerance): &(u32, String)| {
            let (sum, count) = self.average(entity, *minutes);
            let before = self.last.insert((entity.to_owned(), *minutes), (sum, count));
            let is_alarm = before.is_some_and(|(old, n)| {
                let (_, least) = rules.alarms.unwrap_or_default();
                let is_gap = newest <= time - i64::from(*minutes) * 60;
                let is_skipped = count.min(n) < least.into() || is_gap && rules.alarms.is_some();
                // |s/n − t/m| > p/100·|t/m|, with p in thousandths.
                let moved = (sum * n - old * count).abs() * 100_000;
                moved > thousandths(tolerance) * old.abs() * count && !is_skipped
            });
            let quiet = rules.alarms.map_or(2 * minutes, |(quiet, _)| quiet);
            let alarm = is_alarm.then(|| self.alarm(entity, *minutes, newest.max(time), quiet));
            (*minutes, sum, count, alarm)
        };
        rules.windows.iter().map(of).collect()
    }

    fn alarm(&mut self, entity: &str, minutes: u32, time: i64, quiet: u32) -> (i64, u64) {
        let episode = self.episodes.entry((entity.to_owned(), minutes)).or_insert((time, time, 0));
        if time - episode.1 >= i64::from(quiet) * 60 {
            *episode = (time, time, 0);
        }
        (episode.1, episode.2) = (time, episode.2 + 1);
        (episode.0, episode.2)
    }
}

/// Of a tolerance such as 0.25%.
fn thousandths(tolerance: &str) -> i128 {
    let (whole, part) = tolerance.strip_suffix('%').unwrap().split_once('.').unwrap();
    format!("{whole}{part:0<3}").parse().unwrap()
}

/// Entity, seconds and cents of a recorded quote.
fn read(value: &str) -> (String, i64, i128) {
    let fields: serde_json::Value = serde_json::from_str(value).unwrap();
    let (_, price) = value.split_once(r#""currentstockprice":"#).unwrap();
    let cents = price.split_once("e-2").unwrap().0.parse().unwrap();
    (fields["entityname"].as_str().unwrap().to_owned(), fields["lastupdatedate"].as_i64().unwrap(), cents)
}

struct Recorded {
    kept: Kept,
    naive: Naive,
}

impl Recorded {
    /// A worker of this release that takes over.
    fn restored(text: &str) -> Self {
        let mut lines = text.lines();
        let head: Head = serde_json::from_str(lines.next().unwrap()).unwrap();
        let (mut log, mut table) = (Vec::new(), Vec::new());
        for line in lines {
            match serde_json::from_str(line).unwrap() {
                Line::Raw { value, timestamp } => log.push((value.into_bytes(), timestamp)),
                Line::Table { key, record } => table.push((key.into_bytes(), record.map(String::into_bytes))),
            }
        }
        let metadata = CommitMetadata::parse(&head.metadata).unwrap();
        let stamp = log[usize::try_from(head.offset).unwrap() - 1].1;
        assert_eq!((metadata.timestamp, metadata.is_of("default.first")), (stamp, true));
        assert!(metadata.replay < head.offset, "there is something to replay");
        let mut naive = Naive { rules: head.rules, ..Naive::default() };
        for (offset, (value, _)) in (0..head.offset).zip(&log) {
            let (entity, time, cents) = read(std::str::from_utf8(value).unwrap());
            naive.judge(offset, &entity, time, cents);
        }
        if !table.iter().any(|(key, _)| key.starts_with(br#"{"stockwatchsaid""#)) {
            naive.episodes.clear(); // that release knew none
        }
        let rules = naive.rule(head.offset);
        let mut kept = Kept::recorded(log, table, (head.offset, metadata.replay), rules.shape());
        (kept.has_ledger, kept.live.has_ledger) = (true, true);
        let recorded = Self { kept, naive };
        assert_eq!(recorded.accounts(), head.accounts);
        rules.entities.iter().for_each(|entity| recorded.compare(entity));
        recorded
    }

    fn accounts(&self) -> Accounts {
        let of = |entity: &stockwatch_core::Entity| {
            let account = entity.said.account.as_deref()?;
            let shares = account.position.map_or(0, |position| position.shares);
            Some((account.cash, shares, account.order.map(|order| order.side == Side::Invest)))
        };
        self.kept.live.entities().filter_map(|(name, entity)| Some((name.to_string(), of(entity)?))).collect()
    }

    /// The averages of an entity are those of the oracle.
    fn compare(&self, entity: &str) {
        let found = self.kept.live.entities().find(|(name, _)| **name == *entity);
        let Some((_, found)) = found.filter(|_| self.naive.quotes.contains_key(entity)) else {
            return assert_eq!(found.is_some(), self.naive.quotes.contains_key(entity), "{entity}");
        };
        let minutes = self.kept.live.shape().unwrap().minutes();
        let expected: Vec<_> = minutes.map(|minutes| self.naive.average(entity, minutes)).collect();
        let found = found.averages().map(|a| (a.sum / i128::from(NANO / 100), i128::from(a.count)));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{entity}");
    }

    fn quote(&mut self, entity: &str, second: i64, cents: i64) {
        let expected = self.naive.judge(self.kept.end(), entity, START + second, cents.into());
        self.kept.quote(entity, second, cents);
        let judged = &self.kept.judgement;
        let alarms: Vec<_> =
            judged.alarms().iter().map(|a| (a.place, a.episode.start / NANO, a.episode.number)).collect();
        let places = expected.iter().enumerate();
        let wanted: Vec<_> =
            places.filter_map(|(place, (.., alarm))| alarm.map(|(start, n)| (place, start, n))).collect();
        assert_eq!(alarms, wanted, "{entity} at {second}");
        assert_eq!(judged.verdicts().len(), expected.len(), "{entity} at {second}");
        assert_eq!(judged.verdicts().iter().filter(|v| **v == Verdict::Alarm).count(), wanted.len());
        if !expected.is_empty() {
            self.compare(entity);
        }
    }

    fn edit(&mut self, windows: &[(u32, &str)], without: Option<&str>) {
        let last = self.naive.rules.last().unwrap();
        let mut entities = last.entities.clone();
        entities.retain(|entity| Some(entity.as_str()) != without);
        if without.is_none() && !entities.contains(&"ibm".to_owned()) {
            entities.push("ibm".into());
        }
        let rules = Rules {
            from: self.kept.end(),
            generation: last.generation + 1,
            windows: windows.iter().map(|(m, t)| (*m, (*t).to_owned())).collect(),
            entities,
            alarms: last.alarms,
            trade: last.trade.filter(|followed| windows.iter().any(|(minutes, _)| minutes == followed)),
        };
        self.kept.edit(rules.shape());
        self.naive.rules.push(rules);
    }

    /// Quotes as those before, each half minute.
    fn go_on(&mut self, halves: std::ops::Range<i64>) {
        for half in halves {
            let jump = if half % 50 < 25 { 0 } else { 300 };
            for (every, name) in (1..).zip(["meta", "ibm", "é \"q\""]) {
                if half % every == 0 {
                    self.quote(name, half * 30, 10_000 + jump + half * 37 % 101);
                }
            }
            match half % 20 {
                3 => self.quote("meta", half * 30 - 45, 10_050),    // late
                7 => self.quote("meta", half * 30, 11_000),         // a duplicate
                11 => self.quote("meta", half * 30 - 7200, 11_000), // too late
                15 => self.kept.commit(1),
                _ => {}
            }
        }
        self.kept.commit(0);
        self.kept.check();
    }
}

fn goes_on(text: &str) {
    let mut recorded = Recorded::restored(text);
    let windows = [(15, "0.3%"), (90, "0.15%")];
    recorded.go_on(214..260);
    recorded.edit(&[(5, "0.5%"), (15, "0.3%"), (120, "0.1%")], Some("ibm"));
    recorded.go_on(260..300);
    recorded.kept.crash(recorded.naive.rules.last().unwrap().shape());
    recorded.edit(&windows, None);
    recorded.go_on(300..350);
    recorded.kept.finish();
    recorded.kept.check();
    assert!(recorded.naive.episodes.values().any(|(.., alarms)| *alarms > 1), "nothing was judged");
}

#[test]
fn the_table_of_the_first_release_goes_on() {
    goes_on(include_str!("recorded/9d5ee43.jsonl"));
}

#[test]
fn the_table_of_the_last_release_without_episodes_goes_on() {
    let text = include_str!("recorded/8fdd566.jsonl");
    assert!(text.contains("stockwatchshape"), "it records changes of long lists of entities");
    goes_on(text);
}

#[test]
fn the_table_of_the_first_release_with_episodes_and_currencies_goes_on() {
    let text = include_str!("recorded/724c2b9.jsonl");
    assert!(text.contains("stockwatchsaid") && text.contains("currencytime"), "there are some");
    goes_on(text);
}

#[test]
fn the_table_of_the_first_release_with_accounts_goes_on_and_so_do_they() {
    let text = include_str!("recorded/75e8fc5.jsonl");
    goes_on(text);
    let mut recorded = Recorded::restored(text);
    let accounts = recorded.accounts();
    let (meta, ibm) = (accounts["meta"], accounts["ibm"]);
    assert!(meta.1 > 0 && meta.2.is_none() && ibm.2 == Some(true), "{accounts:?}");
    recorded.quote("ibm", 228 * 30, 10_400);
    // Accounts end with the window that they follow.
    recorded.edit(&[(15, "0.3%"), (90, "0.15%")], None);
    recorded.quote("meta", 228 * 30, 10_400);
    recorded.kept.commit(0);
    recorded.kept.check();
    let entries: Vec<_> =
        recorded.kept.ledger.iter().map(|(_, e)| (e.entry_type, e.cash, e.shares)).collect();
    let price = i128::from(104 * NANO);
    let part = |product: i128, of: i128| i64::try_from(product / of).unwrap();
    let shares = part(i128::from(ibm.0 - NANO) * i128::from(NANO), price);
    let sold = part(i128::from(meta.1) * price, NANO.into());
    let (fill, close) = (entries[0], entries[1]);
    assert_eq!((fill.0, fill.2, entries.len()), (EntryType::Fill, shares, 2));
    assert_eq!(close, (EntryType::Close, meta.0 + sold, 0));
}

#[test]
#[ignore = "writes the table of this release: see the module"]
fn record() {
    let commit = std::env::var("RECORDED").expect("RECORDED: the commit whose core this is");
    let entities = ["meta", "ibm", "é \"q\""].map(str::to_owned).to_vec();
    let windows = vec![(5, "0.2%".to_owned()), (60, "0.25%".to_owned())];
    let rules = Rules { from: 0, generation: 1, windows, entities, alarms: Some((12, 2)), trade: Some(5) };
    let (kept, naive) = (Kept::new(rules.shape()), Naive { rules: vec![rules], ..Naive::default() });
    let mut recorded = Recorded { kept, naive };
    recorded.kept.has_ledger = true;
    recorded.go_on(0..90);
    recorded.edit(&[(5, "0.2%"), (15, "0.4%"), (60, "0.25%")], Some("ibm"));
    recorded.go_on(90..130);
    recorded.edit(&[(5, "0.2%"), (90, "0.1%")], None);
    // Just after a jump: one account is invested, others are about to be.
    recorded.go_on(130..227);
    let (log, table) = (&recorded.kept.log, &recorded.kept.table);
    let metadata = CommitMetadata {
        owner: "default.first.first-0".into(),
        replay: recorded.kept.live.replay_from(),
        timestamp: log.last().unwrap().1,
        released: false,
    };
    let head = json!({
        "commit": commit,
        "offset": recorded.kept.end(),
        "metadata": metadata.encode(),
        "rules": recorded.naive.rules,
        "accounts": recorded.accounts(),
    });
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let log = log.iter().map(|(value, timestamp)| json!({"value": text(value), "timestamp": timestamp}));
    let table =
        table.iter().map(|(key, record)| json!({"key": text(key), "record": record.as_deref().map(text)}));
    let lines: Vec<String> =
        [head].into_iter().chain(log).chain(table).map(|line| line.to_string()).collect();
    let file = format!("{}/tests/recorded/{commit}.jsonl", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(file, lines.join("\n") + "\n").unwrap();
}
