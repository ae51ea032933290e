//! Prices of two currencies have no average: a state is of one currency, through crashes, edits and fills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod kept;

use std::sync::Arc;

use kept::{Kept, START, shape};
use proptest::prelude::*;
use stockwatch_core::{NANO, Shape, Verdict};

fn rules(generation: u64, windows: &[u32]) -> Arc<Shape> {
    let windows: Vec<(u32, &str)> = windows.iter().map(|minutes| (*minutes, "0")).collect();
    shape(generation, &windows, ["a", "b"].into_iter(), false)
}

fn times(kept: &Kept) -> Vec<i64> {
    let (_, entity) = kept.live.entities().find(|(name, _)| &**name == "a").unwrap();
    entity.samples().iter().map(|sample| sample.time / NANO - START).collect()
}

#[test]
fn pence_do_not_join_pounds_until_pounds_were_silent_for_a_quarter_of_an_hour() {
    let mut kept = Kept::new(rules(1, &[5, 30]));
    kept.quote_in("a", 0, 100, Some("GBP"));
    kept.quote_in("a", 60, 10_000, Some("GBp"));
    kept.quote("a", 120, 101);
    kept.quote_in("a", 899, 10_000, Some("GBp"));
    assert_eq!(times(&kept), [0, 120], "a quote without a currency is taken for one of the entity's");
    kept.commit(0);
    assert!(!kept.live.entities().next().unwrap().1.said.is_empty());
    kept.quote_in("a", 900, 10_000, Some("GBp"));
    assert_eq!(kept.judgement.verdicts(), [Verdict::NoPrevious; 2]);
    assert!(kept.live.entities().next().unwrap().1.said.is_empty(), "its episodes are over");
    kept.quote_in("a", 960, 102, Some("GBP"));
    assert_eq!(times(&kept), [900]);
    kept.commit(usize::MAX);
    kept.check();
    kept.crash(rules(1, &[5, 30]));
    kept.quote_in("a", 961, 102, Some("GBP"));
    assert_eq!(times(&kept), [900], "the currency is in the checkpoint");
}

#[test]
fn a_duplicate_is_one_and_late_is_late_whatever_the_currency() {
    let mut kept = Kept::new(rules(1, &[1]));
    kept.quote_in("a", 2_000, 100, Some("GBP"));
    kept.quote_in("a", 2_000, 100, Some("GBp"));
    kept.quote_in("a", 100, 100, Some("GBp"));
    assert_eq!(times(&kept), [2_000]);
}

#[test]
fn a_lengthened_window_takes_no_quote_of_another_currency() {
    let mut kept = Kept::new(rules(1, &[1]));
    kept.quote_in("a", 0, 100, Some("GBP"));
    for (second, currency) in [(1_000, "GBp"), (1_060, "GBP"), (1_100, "GBp"), (1_300, "GBp")] {
        kept.quote_in("a", second, 100, Some(currency));
    }
    kept.edit(rules(2, &[60]));
    assert_eq!(times(&kept), [1_000, 1_100, 1_300], "nor one from before it began anew");
    kept.commit(0);
    kept.check();
}

#[test]
fn a_lengthened_window_takes_no_quote_that_says_a_currency_while_the_entitys_is_not_known() {
    let mut kept = Kept::new(rules(1, &[1, 5]));
    kept.quote("a", 2_800, 100);
    kept.quote_in("a", 1_600, 100, Some("GBP"));
    kept.quote("a", 1_700, 100);
    kept.edit(rules(2, &[40]));
    kept.quote_in("a", 1_800, 100, Some("USD"));
    assert_eq!(times(&kept), [1_700, 1_800, 2_800], "pounds and dollars would have one average");
    kept.commit(1);
    for (generation, minutes) in [(3, 17), (4, 40)] {
        kept.edit(rules(generation, &[minutes]));
    }
    kept.commit(0);
    kept.check();
}

#[test]
fn nor_one_that_comes_while_the_log_is_read() {
    let mut kept = Kept::new(rules(1, &[1, 5]));
    kept.quote("a", 1_014, 100);
    kept.begin_edit(rules(2, &[40]));
    kept.quote_in("a", 386, 100, Some("GBP"));
    kept.fill();
    assert_eq!(times(&kept), [1_014]);
    kept.commit(0);
    kept.check();
}

#[test]
fn an_entity_that_begins_anew_while_a_window_is_filled_is_filled_with_its_new_quotes_only() {
    let mut kept = Kept::new(rules(1, &[1]));
    (0..10).for_each(|i| kept.quote_in("a", 30 * i, 100, Some("GBP")));
    kept.begin_edit(rules(2, &[60]));
    kept.read(3);
    for second in [2_000, 2_030, 2_090] {
        kept.quote_in("a", second, 100, Some("GBp"));
        kept.read(1);
    }
    kept.fill();
    assert_eq!(times(&kept), [2_000, 2_030, 2_090]);
    kept.commit(0);
    kept.check();
}

#[test]
fn chunks_of_the_currency_before_are_deleted() {
    let mut kept = Kept::new(rules(1, &[1440]));
    (0..200).for_each(|i| kept.quote_in("a", i, 100, Some("GBP")));
    kept.commit(usize::MAX);
    (0..100).for_each(|i| kept.quote_in("a", 2_000 + i, 100, Some("USD")));
    kept.commit(usize::MAX);
    kept.check();
    let mut live = std::collections::BTreeMap::new();
    for (key, value) in &kept.table {
        live.insert(String::from_utf8_lossy(key).into_owned(), value.is_some());
    }
    let chunks = live.iter().filter(|(key, is_live)| key.contains("chunk") && **is_live).count();
    assert_eq!(chunks, 2, "{live:?}");
}

#[derive(Debug, Clone)]
enum Event {
    Quote { entity: usize, second: i64, cents: i64, currency: usize },
    Windows(Vec<u32>),
    Read(i64),
    Commit(usize),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let budget = prop_oneof![Just(0_usize), 1..600_usize, Just(usize::MAX)];
    prop_oneof![
        12 => (0..2_usize, 0..4_000_i64, 1..4_i64, 0..4_usize)
            .prop_map(|(entity, second, cents, currency)| Event::Quote { entity, second, cents, currency }),
        2 => prop::sample::subsequence(vec![1_u32, 5, 20, 40], 1..=3).prop_map(Event::Windows),
        3 => (1..30_i64).prop_map(Event::Read),
        5 => budget.prop_map(Event::Commit),
        1 => Just(Event::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_restore_at_any_time_gives_the_state_of_a_worker_that_never_restarted(
        events in prop::collection::vec(event(), 1..100)
    ) {
        let mut generation = 1;
        let mut windows = vec![1, 5];
        let mut kept = Kept::new(rules(1, &windows));
        for event in events {
            match event {
                Event::Quote { entity, second, cents, currency } => {
                    let currency = [None, Some("GBP"), Some("GBP"), Some("USD")][currency];
                    kept.quote_in(["a", "b"][entity], second, cents, currency);
                }
                Event::Windows(wanted) => {
                    generation += 1;
                    windows = wanted;
                    kept.begin_edit(rules(generation, &windows));
                }
                Event::Read(most) => kept.read(most),
                Event::Commit(budget) => {
                    kept.commit(budget);
                    kept.check();
                }
                Event::Crash => kept.crash(rules(generation, &windows)),
            }
        }
        kept.fill();
        kept.commit(0);
        kept.check();
    }
}
