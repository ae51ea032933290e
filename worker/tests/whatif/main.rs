//! What-if against the naive oracle, on a log in memory: random quotes, rules, ranges and cuts of the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;
use stockwatch_core::wire::RawRecord;
use stockwatch_core::{Backfill, Effect, Encoder, OutputRecord, OutputSender, OutputTopic, Partition, Shape};
use stockwatch_tests::oracle::{Accepted, Fate, fates};
use stockwatch_tests::{Record, Watch, paper};
use stockwatch_worker::whatif::{
    Amount, Answer, Candidate, Fidelity, Figures, Money, Paper, RawLog, Skipped, Study, Written, candidates,
};

use crate::random::{Rules, Trade, log, quotes, rules};

const START: i64 = 1_700_000_000;
const RAW: &str = "raw-input";
const ENTITIES: [&str; 3] = ["a", "b", "c"];
const WINDOWS: [u32; 2] = [2, 5];

/// One partition's log, from its first offset that is left.
struct Log {
    records: Vec<Record>,
    low: i64,
    /// Records that may be read before memory is used up.
    memory: usize,
}

fn raw_record(record: &Record) -> RawRecord<'_> {
    RawRecord {
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        timestamp: record.timestamp,
        offset: record.offset,
    }
}

impl RawLog for Log {
    type Error = Infallible;

    fn bounds(&mut self, _: i32) -> Result<(i64, i64), Infallible> {
        Ok((self.low, i64::try_from(self.records.len()).unwrap()))
    }

    fn first_since(&mut self, _: i32, timestamp: i64) -> Result<Option<i64>, Infallible> {
        let mut left = self.records.iter().filter(|record| record.offset >= self.low);
        Ok(left.find(|record| record.timestamp >= timestamp).map(|record| record.offset))
    }

    fn read(
        &mut self,
        _: i32,
        from: i64,
        to: i64,
        mut each: impl FnMut(&RawRecord<'_>),
    ) -> Result<bool, Infallible> {
        assert!(from >= self.low, "what is deleted cannot be read");
        for record in self.records.iter().filter(|record| (from..to).contains(&record.offset)) {
            let Some(left) = self.memory.checked_sub(1) else { return Ok(false) };
            self.memory = left;
            each(&raw_record(record));
        }
        Ok(true)
    }
}

fn shape(watch: &Watch) -> Shape {
    let loaded = stockwatch_crds::load(&watch.text()).unwrap();
    Shape::of(&loaded.uid, loaded.generation.unwrap(), &loaded.spec)
}

fn accepted(records: &[Record], watch: &Watch) -> Vec<Accepted> {
    let fates = fates(records, &[watch.shape()]).into_iter();
    fates.filter_map(|fate| if let Fate::Accepted(quote) = fate { Some(*quote) } else { None }).collect()
}

/// Offset and window of each alarm.
fn alarms(quotes: &[Accepted], watch: &Watch) -> BTreeSet<(i64, u32)> {
    let of = |quote: &Accepted| -> Vec<(i64, u32)> {
        watch.alarms(quote).iter().map(|(average, _)| (quote.offset, average.minutes)).collect()
    };
    quotes.iter().flat_map(of).collect()
}

/// The figures of a window, counted one by one.
fn naive(quotes: &[Accepted], watch: &Watch, in_force: &Watch, minutes: u32) -> Figures {
    let [own, theirs] = [watch, in_force].map(|w| {
        let all = alarms(quotes, w).into_iter();
        all.filter(|(_, window)| *window == minutes).map(|(offset, _)| offset).collect::<BTreeSet<i64>>()
    });
    let (mut episodes, mut last) = (0, BTreeMap::new());
    for quote in quotes.iter().filter(|quote| own.contains(&quote.offset)) {
        let before = last.insert(&quote.entity, quote.newest);
        episodes += u64::from(before.is_none_or(|before| quote.newest - before >= watch.quiet(minutes)));
    }
    let mut all = watch.clone();
    all.alarms = serde_json::Value::Null;
    let beyond: BTreeSet<(i64, u32)> = alarms(quotes, &all);
    let mut skipped = Skipped::default();
    for quote in quotes.iter().filter(|q| beyond.contains(&(q.offset, minutes)) && !own.contains(&q.offset)) {
        if watch.alarms["gaps"] == "Skip" && Watch::is_gap(quote, minutes) {
            skipped.gap += 1;
        } else {
            skipped.min_count += 1;
        }
    }
    let count = |set: BTreeSet<i64>| u64::try_from(set.len()).unwrap();
    Figures {
        alarms: count(own.clone()),
        episodes,
        skipped,
        gained: count(&own - &theirs),
        lost: count(&theirs - &own),
    }
}

fn all_candidates(watches: &[Watch]) -> Vec<Candidate> {
    let files = watches[1..].iter().map(|watch| (String::new(), shape(watch))).collect();
    candidates(Arc::new(shape(&watches[0])), &[], files, &[]).unwrap()
}

/// The values of the alarms that a worker writes by these rules.
#[derive(Default)]
struct Alarms(Vec<Vec<u8>>);

impl OutputSender for Alarms {
    type Error = Infallible;

    fn send(&mut self, record: OutputRecord<'_>) -> Result<(), Infallible> {
        if record.topic == OutputTopic::Alarms {
            self.0.push(record.value.to_vec());
        }
        Ok(())
    }
}

/// What a worker would have written, with other rules from an offset on.
fn written(records: &[Record], rules: &[(i64, &Watch)]) -> Vec<Vec<u8>> {
    let mut partition = Partition::new(0, 0, Vec::new(), Vec::new());
    let mut encoder = Encoder::new(RAW, "default", "whatif");
    let (mut alarms, mut rules) = (Alarms::default(), rules.iter().peekable());
    for record in records {
        while let Some((_, watch)) = rules.next_if(|(from, _)| *from <= record.offset) {
            let shape = Arc::new(shape(watch));
            if partition.shape().is_none() {
                partition.apply_shape(partition.next_change(shape), &Backfill::default(), 0);
            } else {
                partition.replace_tolerances(shape);
            }
        }
        let record = raw_record(record);
        if let Effect::Accepted(quote) = partition.process(&record, 0) {
            encoder.write(0, &record, &quote, &mut alarms).unwrap();
        }
    }
    alarms.0
}

struct Judged {
    figures: Vec<Vec<Figures>>,
    papers: Vec<Option<Paper>>,
    fidelity: Fidelity,
    left_out: BTreeSet<String>,
    is_cut: bool,
    start: Option<i64>,
}

/// Of accounts whose quotes say no currency.
fn sum(paper: Paper) -> stockwatch_tests::Paper {
    assert!(paper.money.iter().all(|money| money.currency.is_none()));
    let money = paper.money.into_iter().next().unwrap_or_default();
    let (profit, open, hold) = (money.profit.0, money.open.0, money.hold.0);
    stockwatch_tests::Paper { fills: paper.fills, profit, open, hold }
}

/// Judges the records stamped `since` or later.
fn judge(records: &[Record], low: i64, since: i64, all: &[Candidate], alarms: &[Vec<u8>]) -> Judged {
    let mut log = Log { records: records.to_vec(), low, memory: usize::MAX };
    let mut study = Study::new(all, since, false);
    let mut written = Written::new(RAW);
    alarms.iter().for_each(|value| written.add(value));
    assert!(study.judge(&mut log, 0, &all[0].rules, Some(i64::MAX), &mut written).unwrap());
    let left_out = study.left_out.clone();
    let is_compared = |ticker: &str, minutes: u32| !left_out.contains(ticker) && WINDOWS.contains(&minutes);
    let fidelity = Fidelity { added: study.seen.added, ..written.finish(is_compared) };
    let start = study.seen.stamps.0.map(|(first, _)| first);
    let (figures, is_cut) = (study.windows().to_vec(), !study.cut.is_empty());
    let answer = Answer::new(&study, all, String::new());
    let papers = answer.rules.into_iter().map(|judged| judged.paper).collect();
    Judged { figures, papers, fidelity, left_out, is_cut, start }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn figures_of_a_whole_log_are_the_oracles_wherever_the_range_begins(
        quotes in quotes(),
        rules in prop::collection::vec(rules(), 1..5),
        since in 0..3_000_i64,
    ) {
        let records = log(&quotes);
        let watches: Vec<Watch> = rules.iter().map(Rules::watch).collect();
        let since = (START + since) * 1000;
        let judged = judge(&records, 0, since, &all_candidates(&watches), &[]);
        let stamp = |quote: &Accepted| records[usize::try_from(quote.offset).unwrap()].timestamp;
        let in_range: Vec<Accepted> =
            accepted(&records, &watches[0]).into_iter().filter(|quote| stamp(quote) >= since).collect();
        prop_assert!(judged.left_out.is_empty() && !judged.is_cut, "the log is whole");
        for (watch, figures) in watches.iter().zip(&judged.figures) {
            for (minutes, figures) in WINDOWS.iter().zip(figures) {
                prop_assert_eq!(*figures, naive(&in_range, watch, &watches[0], *minutes), "{} {:?}", minutes, watch);
            }
        }
        for (watch, judged) in watches.iter().zip(judged.papers) {
            let naive = (!watch.trade.is_null()).then(|| paper(&in_range, watch));
            prop_assert_eq!(judged.map(sum), naive, "{:?}", watch);
        }
    }

    #[test]
    fn a_log_that_was_cut_gives_the_oracles_figures_of_the_tickers_that_it_can_fill(
        quotes in quotes(),
        rules in prop::collection::vec(rules(), 1..3),
        cut in 0..60_usize,
    ) {
        // Without late quotes: one that was deleted may have been the first of its time.
        let quotes: Vec<_> = quotes.into_iter().map(|(entity, pause, _, cents)| (entity, pause, 0, cents)).collect();
        let records = log(&quotes);
        let low = i64::try_from(cut.min(records.len() - 1)).unwrap();
        let watches: Vec<Watch> = rules.iter().map(Rules::watch).collect();
        let judged = judge(&records, low, 0, &all_candidates(&watches), &[]);
        let stamp = |quote: &Accepted| records[usize::try_from(quote.offset).unwrap()].timestamp;
        let is_counted = |quote: &Accepted| {
            judged.start.is_some_and(|start| stamp(quote) >= start) && !judged.left_out.contains(&quote.entity)
        };
        let in_range: Vec<Accepted> =
            accepted(&records, &watches[0]).into_iter().filter(is_counted).collect();
        prop_assert_eq!(judged.is_cut, low > 0);
        for (watch, figures) in watches.iter().zip(&judged.figures) {
            for (minutes, figures) in WINDOWS.iter().zip(figures) {
                prop_assert_eq!(*figures, naive(&in_range, watch, &watches[0], *minutes), "{} {:?}", minutes, watch);
            }
        }
    }

    #[test]
    fn every_alarm_that_was_written_is_found_and_none_is_added(
        quotes in quotes(),
        rules in prop::collection::vec(rules(), 1..5),
        edits in prop::collection::vec(0..160_i64, 4),
        since in 0..3_000_i64,
    ) {
        let records = log(&quotes);
        let mut watches: Vec<Watch> = rules.iter().map(Rules::watch).collect();
        let mut offsets = edits[..watches.len()].to_vec();
        offsets.sort_unstable();
        offsets[0] = 0;
        for (generation, watch) in (1..).zip(&mut watches) {
            watch.generation = Some(generation);
        }
        let taken: Vec<(i64, &Watch)> = offsets.into_iter().zip(&watches).collect();
        let alarms = written(&records, &taken);
        let since = (START + since) * 1000;
        let in_force = vec![watches.last().unwrap().clone()];
        let judged = judge(&records, 0, since, &all_candidates(&in_force), &alarms);
        let of_quote = |quote: &Accepted| {
            let rules = taken.iter().rev().find(|(from, _)| *from <= quote.offset).unwrap().1;
            (rules.generation == in_force[0].generation, rules.alarms(quote).len())
        };
        let alarms: Vec<(bool, usize)> = accepted(&records, &watches[0])
            .iter()
            .filter(|quote| records[usize::try_from(quote.offset).unwrap()].timestamp >= since)
            .map(of_quote)
            .collect();
        let written = u64::try_from(alarms.iter().map(|(_, count)| count).sum::<usize>()).unwrap();
        let is_shown = alarms.iter().any(|(is_in_force, count)| *is_in_force && *count > 0);
        let added = is_shown.then_some(0);
        prop_assert_eq!(judged.fidelity, Fidelity { written, found: written, added, aside: 0 });
    }
}

/// A quote a minute of `a`, whose price jumps at each fifth.
fn jumps(minutes: i64) -> Vec<Record> {
    let quote = |minute| (0, 60, 0, if minute / 5 % 2 == 0 { 10_000 } else { 10_500 });
    log(&(0..minutes).map(quote).collect::<Vec<_>>())
}

fn at_one_percent(trade: Option<Trade>) -> Watch {
    let tolerances = ["1%", "1%"];
    Rules { tolerances, own: None, quiet: None, skips_gaps: false, min_count: 1, trade }.watch()
}

fn plain() -> Watch {
    at_one_percent(None)
}

#[test]
fn an_alarm_that_is_missing_is_added_and_one_that_nothing_raises_is_not_found() {
    let (records, watch) = (jumps(40), plain());
    let mut alarms = written(&records, &[(0, &watch)]);
    let all = all_candidates(std::slice::from_ref(&watch));
    let count = u64::try_from(alarms.len()).unwrap();
    alarms.remove(3);
    let text = String::from_utf8(alarms[5].clone()).unwrap();
    let (begin, id) = text.rsplit_once(r#""id":""#).unwrap();
    alarms[5] = format!(r#"{begin}"id":"{}"#, id.replace(|c: char| c.is_ascii_hexdigit(), "0")).into();
    let fidelity = judge(&records, 0, 0, &all, &alarms).fidelity;
    assert_eq!(fidelity, Fidelity { written: count - 1, found: count - 2, added: Some(2), aside: 0 });
}

#[test]
fn where_it_is_not_known_how_far_workers_have_judged_nothing_is_said_to_be_added() {
    let (records, watch) = (jumps(40), plain());
    let alarms = written(&records, &[(0, &watch)]);
    let all = all_candidates(std::slice::from_ref(&watch));
    let added = |committed| {
        let mut log = Log { records: records.clone(), low: 0, memory: usize::MAX };
        let (mut study, mut written) = (Study::new(&all, 0, false), Written::new(RAW));
        alarms.iter().for_each(|value| written.add(value));
        assert!(study.judge(&mut log, 0, &all[0].rules, committed, &mut written).unwrap());
        study.seen.added
    };
    assert_eq!((added(Some(i64::MAX)), added(None)), (Some(0), None));
}

#[test]
fn quotes_from_before_a_long_pause_are_found_further_back() {
    let mut quotes: Vec<(usize, i64, i64, i64)> = (0..12).map(|_| (0, 60, 0, 10_000)).collect();
    quotes.push((0, 3 * 86_400, 0, 20_000));
    let records = log(&quotes);
    let since = records[12].timestamp - 86_400_000;
    let watch = plain();
    let all = all_candidates(std::slice::from_ref(&watch));
    for low in [0, 1] {
        let judged = judge(&records, low, since, &all, &[]);
        assert_eq!(judged.figures[0].iter().map(|f| f.alarms).collect::<Vec<_>>(), [1, 1], "from {low}");
    }
    let judged = judge(&records, 10, since, &all, &[]);
    assert_eq!(judged.left_out, BTreeSet::from(["a".to_owned()]), "two quotes fill no window");
    assert_eq!(judged.figures[0][0], Figures::default());
}

#[test]
fn an_account_is_void_where_its_ticker_has_another_currency() {
    let quotes = [(60, 100), (60, 105), (60, 106), (28 * 60, 50), (60, 60), (60, 66)];
    let mut records = log(&quotes.map(|(pause, price)| (0, pause, 0, 100 * price)));
    for (place, record) in records.iter_mut().enumerate() {
        let currency = if place < 3 { "USD" } else { "EUR" };
        record.value = Some(record.text().replace('}', &format!(r#","currency":"{currency}"}}"#)).into());
    }
    let trade = Trade { window: 0, is_down: false, fee: "0", slippage: "0", max_wait: 20, stop_loss: None };
    let watch = at_one_percent(Some(trade));
    let paper = judge(&records, 0, 0, &all_candidates(&[watch]), &[]).papers.remove(0).unwrap();
    let money = |currency: &str, hold: i128| Money {
        currency: Some(currency.into()),
        hold: Amount(hold * 1_000_000_000),
        ..Money::default()
    };
    // Each buys one quote after its alarm, and is still invested at its last quote, of the same price.
    assert_eq!(paper, Paper { fills: 2, money: vec![money("EUR", 320), money("USD", 60)] });
}

#[test]
fn what_there_is_no_memory_for_is_not_counted() {
    let watch = plain();
    let all = all_candidates(std::slice::from_ref(&watch));
    let mut log = Log { records: jumps(40), low: 0, memory: 39 };
    let mut study = Study::new(&all, 0, true);
    assert!(!study.judge(&mut log, 0, &all[0].rules, None, &mut Written::new(RAW)).unwrap());
    let answer = Answer::new(&study, &all, "default/whatif".into());
    assert_eq!((answer.records.count, answer.rules[0].all), (0, Figures::default()));
}

#[test]
fn a_sweep_is_judged_in_one_pass_and_gives_fewer_alarms_the_greater_the_tolerance() {
    let in_force = Arc::new(shape(&plain()));
    let sweeps = ["2m=0.05%..6%".parse().unwrap()];
    let all = candidates(in_force, &[], Vec::new(), &sweeps).unwrap();
    let records = jumps(60);
    // As many reads as there are records.
    let mut log = Log { memory: records.len(), records, low: 0 };
    let mut study = Study::new(&all, 0, true);
    assert!(study.judge(&mut log, 0, &all[0].rules, None, &mut Written::new(RAW)).unwrap());
    let answer = Answer::new(&study, &all, "default/whatif".into());
    let alarms: Vec<u64> = answer.rules[1..].iter().map(|judged| judged.windows[0].figures.alarms).collect();
    assert_eq!(alarms.len(), 40);
    assert!(alarms.is_sorted_by(|a, b| a >= b) && alarms[0] > 0 && alarms[39] == 0, "{alarms:?}");
    assert_eq!(answer.most_alarms(), answer.rules[1].all.alarms);
    let by_ticker: u64 = answer.rules[0].tickers.iter().flatten().map(|part| part.figures.alarms).sum();
    assert_eq!(by_ticker, answer.rules[0].all.alarms);
}
