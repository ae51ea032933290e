//! Paper accounts in a partition: what signals, and that they are restored as they were committed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

// Each test program uses a part of it.
#[allow(dead_code)]
mod kept;

use std::sync::Arc;

use kept::{Kept, shape};
use proptest::prelude::*;
use stockwatch_core::account::{EntryType, Reason, Side};
use stockwatch_core::wire::{encode_shapes, read_shapes};
use stockwatch_core::{NANO, Shape};
use stockwatch_crds::{Enter, Trade};

const ENTITIES: [&str; 2] = ["a", "b"];

fn terms() -> Trade {
    Trade { fee_bps: 10 * NANO, fee_minimum: 0, slippage_bps: NANO, ..kept::terms(5) }
}

/// Windows of 5 and 10 minutes where any move is an alarm, with these terms.
fn rules(generation: u64, entities: usize, trade: Option<Trade>) -> Arc<Shape> {
    let shape = shape(generation, &[(5, "0"), (10, "0")], ENTITIES[..entities].iter().copied(), false);
    Arc::new(Shape { trade, ..(*shape).clone() })
}

fn trading(trade: Trade) -> Kept {
    let mut kept = Kept::new(rules(1, 2, Some(trade)));
    kept.has_ledger = true;
    kept
}

fn types(kept: &mut Kept) -> Vec<(EntryType, Option<Side>)> {
    kept.commit(0);
    kept.ledger.iter().map(|(_, entry)| (entry.entry_type, entry.side)).collect()
}

const INVEST: Option<Side> = Some(Side::Invest);
const UNINVEST: Option<Side> = Some(Side::Uninvest);

#[test]
fn alarms_of_the_window_that_is_followed_invest_and_uninvest() {
    let mut kept = trading(terms());
    for (second, cents) in [(0, 1_000), (60, 2_000), (120, 2_000), (180, 1_000), (240, 1_000)] {
        kept.quote("a", second, cents);
    }
    let expected = [
        (EntryType::Order, INVEST),
        (EntryType::Fill, INVEST),
        (EntryType::Order, UNINVEST),
        (EntryType::Fill, UNINVEST),
    ];
    assert_eq!(types(&mut kept), expected);
    let (name, order) = &kept.ledger[0];
    assert_eq!((name.as_str(), order.cause.unwrap().minutes), ("a", 5));
    kept.check();
}

#[test]
fn a_late_quotes_alarm_signals_nothing_and_fills_nothing() {
    let mut kept = trading(terms());
    for (second, cents) in [(0, 1_000), (60, 1_000), (30, 9_000)] {
        kept.quote("a", second, cents);
    }
    assert!(!kept.judgement.alarms().is_empty());
    assert!(types(&mut kept).is_empty());
    kept.quote("a", 90, 9_000);
    kept.quote("a", 45, 9_000);
    assert_eq!(types(&mut kept), [(EntryType::Order, INVEST)]);
}

#[test]
fn without_a_ledger_accounts_stay_as_they_are() {
    let mut kept = trading(terms());
    kept.quote("a", 0, 1_000);
    kept.quote("a", 60, 2_000);
    kept.has_ledger = false;
    kept.quote("a", 120, 2_000);
    kept.edit(rules(2, 2, None));
    kept.quote("a", 180, 2_000);
    assert_eq!(types(&mut kept), [(EntryType::Order, INVEST)]);
    kept.has_ledger = true;
    kept.quote("a", 240, 2_000);
    assert_eq!(types(&mut kept).last(), Some(&(EntryType::Cancel, INVEST)));
    assert!(!kept.live.has_accounts());
    kept.check();
}

#[test]
fn a_removed_entitys_account_is_void_and_the_next_one_is_another() {
    let mut kept = trading(terms());
    for (second, cents) in [(0, 1_000), (60, 2_000), (120, 2_000)] {
        kept.quote("b", second, cents);
    }
    kept.edit(rules(2, 1, Some(terms())));
    kept.edit(rules(3, 2, Some(terms())));
    for (second, cents) in [(180, 1_000), (240, 2_000)] {
        kept.quote("b", second, cents);
    }
    assert_eq!(types(&mut kept)[2..], [(EntryType::Void, None), (EntryType::Order, INVEST)]);
    let [.., void, order] = &kept.ledger[..] else { panic!() };
    assert_eq!(void.1.reason, Some(Reason::EntityRemoved));
    assert_ne!(void.1.account, order.1.account);
    kept.check();
}

#[test]
fn an_entity_that_begins_anew_in_another_currency_leaves_its_account_void() {
    let mut kept = trading(terms());
    for (second, cents, currency) in
        [(0, 1_000, "USD"), (60, 2_000, "USD"), (1_100, 1_500, "EUR"), (1_160, 3_000, "EUR")]
    {
        kept.quote_in("a", second, cents, Some(currency));
    }
    let expected = [(EntryType::Order, INVEST), (EntryType::Void, None), (EntryType::Order, INVEST)];
    assert_eq!(types(&mut kept), expected);
    assert_eq!(kept.ledger[1].1.reason, Some(Reason::EntityBeganAnew));
    assert_ne!(kept.ledger[0].1.account, kept.ledger[2].1.account);
    kept.check();
}

#[test]
fn terms_that_change_while_the_worker_is_down_are_taken() {
    let mut kept = trading(terms());
    kept.quote("a", 0, 1_000);
    kept.commit(0);
    kept.crash(rules(2, 2, Some(Trade { enter: Enter::Down, ..terms() })));
    kept.quote("a", 60, 2_000);
    assert!(types(&mut kept).is_empty());
    kept.quote("a", 120, 1_000);
    assert_eq!(types(&mut kept), [(EntryType::Order, INVEST)]);
}

#[test]
fn recorded_terms_are_read_as_they_were_and_only_if_a_spec_may_have_them() {
    let kept = trading(Trade { stop_loss: Some(5 * NANO), ..terms() });
    let record = encode_shapes(&kept.live.history).unwrap();
    assert_eq!(read_shapes(&record, None).unwrap().unwrap(), kept.live.history);
    let text = String::from_utf8(record).unwrap();
    for (from, to) in [(r#""minutes":5"#, r#""minutes":7"#), (r#""max_wait":15"#, r#""max_wait":0"#)] {
        assert!(text.contains(from), "{text}");
        assert!(read_shapes(text.replace(from, to).as_bytes(), None).is_err(), "{to}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Quote { entity: usize, second: i64, cents: i64 },
    Edit(usize, Option<Trade>),
    Commit(usize),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let budget = prop_oneof![Just(0_usize), 1..600_usize, Just(usize::MAX)];
    let trade = (any::<bool>(), 1..3_i64, prop::option::of(1..20_i64)).prop_map(|(up, budget, stop)| Trade {
        enter: if up { Enter::Up } else { Enter::Down },
        budget: budget * 500 * NANO,
        stop_loss: stop.map(|percent| percent * NANO),
        ..terms()
    });
    prop_oneof![
        12 => (0..2_usize, 0..40_i64, 1..2_000_i64)
            .prop_map(|(entity, second, cents)| Event::Quote { entity, second, cents }),
        2 => (1..3_usize, prop::option::weighted(0.8, trade)).prop_map(|(e, trade)| Event::Edit(e, trade)),
        5 => budget.prop_map(Event::Commit),
        2 => Just(Event::Crash),
    ]
}

/// The ledger of all events, with or without the crashes among them.
fn ledger(events: &[Event], crashes: bool) -> Vec<(String, stockwatch_core::account::Entry)> {
    let (mut kept, mut generation, mut time) = (trading(terms()), 1, 0);
    let (mut entities, mut trade) = (2, Some(terms()));
    for event in events {
        match event {
            Event::Quote { entity, second, cents } => {
                // Now and then one is late.
                time += second - 5;
                kept.quote(ENTITIES[*entity], time.max(0), *cents);
            }
            Event::Edit(listed, terms) => {
                generation += 1;
                (entities, trade) = (*listed, terms.clone());
                kept.edit(rules(generation, entities, trade.clone()));
            }
            Event::Commit(budget) => {
                kept.commit(*budget);
                kept.check();
            }
            Event::Crash if crashes => kept.crash(rules(generation, entities, trade.clone())),
            Event::Crash => {}
        }
    }
    kept.commit(0);
    kept.check();
    kept.ledger
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_is_the_same_whatever_crashes(events in prop::collection::vec(event(), 1..100)) {
        prop_assert_eq!(ledger(&events, true), ledger(&events, false));
    }
}
