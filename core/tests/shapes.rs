//! What the storage table has of the shapes stays small however often a StockWatch is edited, and a restore gives the
//! state of a worker that never restarted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod kept;

use std::sync::Arc;

use kept::{Kept, shape};
use proptest::prelude::*;
use stockwatch_core::Shape;
use stockwatch_core::wire::{SHAPE_CHANGES_KEY, SHAPE_KEY};
use stockwatch_crds::{Tolerance, Window};

const ENTITIES: [&str; 3] = ["a", "b", "c \"q\""];
/// So much of the table a restore may have to read for a thousand edits, before it is compacted.
const MOST_BYTES: usize = 24 << 20;

fn bytes(kept: &Kept) -> usize {
    kept.table.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

fn last<'a>(kept: &'a Kept, key: &str) -> Option<&'a [u8]> {
    kept.table.iter().rev().find(|(k, _)| k == key.as_bytes())?.1.as_deref()
}

/// About as large as a spec may be, in its `n`th form: 1,000 tickers with long names, half of them with a tolerance of
/// their own. Each edit changes a window, the tolerances and the list.
fn largest(n: u64, wildcard: bool) -> Arc<Shape> {
    let tolerance = |i: u64| Tolerance::parse(&format!("{}.{:09}%", 100_000_000 + i, i)).unwrap();
    let lengths = (1..10).chain([10 + u32::try_from(n % 50).unwrap()]);
    let windows: Vec<Window> = lengths.map(|minutes| Window { minutes, tolerance: tolerance(n) }).collect();
    let name = |i: u64| format!("{i:04}{}", "ä".repeat(50));
    let own = |i: u64| {
        if i.is_multiple_of(2) { Vec::new() } else { vec![Window { minutes: 9, tolerance: tolerance(i) }] }
    };
    let listed = (0..1000).filter(|i| i % 100 != n % 100);
    Arc::new(Shape {
        uid: "00000000-0000-0000-0000-000000000000".into(),
        generation: n,
        windows,
        entities: listed.map(|i| (name(i), own(i))).collect(),
        wildcard: wildcard.then(Vec::new),
        ..Shape::default()
    })
}

#[test]
fn an_empty_or_idle_partition_keeps_one_shape_through_a_thousand_edits() {
    for quotes in [0, 500] {
        let mut kept = Kept::new(largest(0, false));
        for i in 0..quotes {
            kept.quote(&format!("{i:04}{}", "ä".repeat(50)), i, 100 + i);
        }
        kept.commit(usize::MAX);
        let before = bytes(&kept);
        for n in 1..=1000 {
            kept.edit(largest(n, false));
            kept.commit(usize::MAX);
            assert_eq!(kept.live.history.len(), 1, "{n} edits");
        }
        kept.check();
        assert!(bytes(&kept) - before < MOST_BYTES, "{} bytes", bytes(&kept) - before);
        assert_eq!(kept.restore().1, 0, "shapes that needed no filling had the log read");
    }
}

#[test]
fn a_busy_partition_writes_no_large_record_through_a_thousand_edits() {
    for wildcard in [false, true] {
        let mut kept = Kept::new(largest(0, wildcard));
        let before = bytes(&kept);
        for n in 1..=1000_u64 {
            kept.edit(largest(n, wildcard));
            for i in 0..20 {
                let second = i64::try_from(n).unwrap();
                kept.quote(&format!("{:04}{}", (n * 20 + i) % 1000, "ä".repeat(50)), second, second + 100);
            }
            // Half of what becomes dirty is checkpointed: there is always something to replay.
            kept.commit(5_000);
        }
        kept.check();
        let checkpoints = 1000 * 20 * 512;
        assert!(bytes(&kept) - before < MOST_BYTES + checkpoints, "{} bytes", bytes(&kept) - before);
    }
}

#[test]
fn edits_without_a_checkpoint_between_are_kept_in_records_of_limited_size() {
    let mut kept = Kept::new(largest(0, true));
    kept.quote("first", 0, 1);
    for n in 1..=200 {
        kept.edit(largest(n, true));
        kept.quote("first", i64::try_from(n).unwrap(), 1);
        kept.commit(0);
    }
    kept.check();
}

#[test]
fn a_removed_and_re_added_entity_does_not_come_back_with_its_old_quotes() {
    let (both, one) = (
        || shape(1, &[(5, "0")], ["x", "y"].into_iter(), false),
        || shape(1, &[(5, "0")], ["y"].into_iter(), false),
    );
    let mut kept = Kept::new(both());
    kept.quote("x", 0, 1);
    kept.commit(usize::MAX);
    kept.quote("y", 1, 1);
    kept.quote("x", 2, 1);
    kept.edit(one());
    kept.edit(both());
    kept.commit(0);
    kept.check();
    assert!(kept.restore().0.entities().all(|(name, _)| &**name != "x"));
}

#[test]
fn a_removed_and_re_added_window_has_no_average_before() {
    for is_open in [false, true] {
        let mut kept = Kept::new(shape(1, &[(2, "0"), (5, "0")], ["x", "y"].into_iter(), false));
        kept.quote("x", 0, 1);
        kept.commit(usize::MAX);
        if is_open {
            kept.quote("y", 1, 1);
        }
        kept.edit(shape(2, &[(5, "0")], ["x", "y"].into_iter(), false));
        kept.edit(shape(3, &[(2, "0"), (5, "0")], ["x", "y"].into_iter(), false));
        kept.commit(0);
        kept.check();
        let restored = kept.restore().0;
        let (_, x) = restored.entities().find(|(name, _)| &**name == "x").unwrap();
        assert_eq!(x.primed(&[2, 5]), [5]);
    }
}

#[test]
fn a_lengthened_window_is_filled_again_by_a_restore_before_its_checkpoint() {
    let mut kept = Kept::new(shape(1, &[(1, "0")], ["x"].into_iter(), false));
    for second in [0, 100, 200] {
        kept.quote("x", second, 1);
    }
    kept.commit(usize::MAX);
    kept.edit(shape(2, &[(5, "0")], ["x"].into_iter(), false));
    kept.commit(0);
    kept.check();
    let (restored, backfilled) = kept.restore();
    assert_eq!((restored.entities().next().unwrap().1.samples().len(), backfilled), (3, 1));
    kept.commit(usize::MAX);
    kept.check();
    assert_eq!(kept.restore().1, 0);
}

#[test]
fn a_lengthened_window_is_filled_beside_the_quotes_that_come() {
    let mut kept = Kept::new(shape(1, &[(1, "0")], ["silent", "x", "late"].into_iter(), false));
    kept.quote("silent", 0, 1);
    for second in [900, 1000, 1100, 1200] {
        kept.quote("x", second, second);
    }
    kept.begin_edit(shape(2, &[(5, "0")], ["silent", "x", "late"].into_iter(), false));
    // Meanwhile one entity is new, one quote comes too late for the windows so far, and one falls out of them.
    for (entity, second) in [("x", 1270), ("late", 1290), ("x", 1050), ("late", 1200), ("x", 1280)] {
        assert!(kept.is_filling() && kept.live.shape().unwrap().generation == 1, "it computes as before");
        kept.quote(entity, second, second);
        kept.read(1);
        kept.commit(0);
        kept.check();
    }
    kept.fill();
    kept.commit(0);
    kept.check();
    assert_eq!(kept.live.shape().unwrap().generation, 2);
    let times = |name: &str| -> Vec<i64> {
        let (_, entity) = kept.live.entities().find(|(n, _)| &**n == name).unwrap();
        entity.samples().iter().map(|s| s.time / 1_000_000_000 - kept::START).collect()
    };
    assert_eq!(times("x"), [1000, 1050, 1100, 1200, 1270, 1280]);
    assert_eq!((times("late"), times("silent")), (vec![1200, 1290], vec![0]));
}

#[test]
fn an_entity_that_is_born_before_more_quotes_than_are_noted_has_all_of_its_quotes() {
    let mut kept = Kept::new(shape(1, &[(1, "0")], ["x", "new"].into_iter(), false));
    kept.quote("x", 0, 1);
    kept.begin_edit(shape(2, &[(5, "0")], ["x", "new"].into_iter(), false));
    kept.quote("new", 10, 1);
    (0..50_000).for_each(|_| kept.quote("x", 1, 1));
    kept.quote("new", 200, 2);
    kept.fill();
    kept.commit(0);
    kept.check();
    let (_, new) = kept.live.entities().find(|(name, _)| &**name == "new").unwrap();
    assert_eq!(new.samples().len(), 2);
}

#[test]
fn an_edit_of_tolerances_while_a_window_is_filled_does_not_begin_anew() {
    let one =
        |generation, minutes, tolerance| shape(generation, &[(minutes, tolerance)], ["x"].into_iter(), false);
    let mut kept = Kept::new(one(1, 1, "0"));
    (0..20).for_each(|i| kept.quote("x", 30 * i, 1));
    kept.begin_edit(one(2, 8, "0"));
    kept.read(5);
    kept.begin_edit(one(3, 8, "1%"));
    kept.begin_edit(one(4, 5, "1%"));
    kept.read(15);
    assert!(!kept.is_filling());
    assert_eq!(kept.live.shape().unwrap().generation, 4);
    // A longer one does, and one that needs no filling waits for nothing.
    kept.begin_edit(one(5, 8, "0"));
    kept.begin_edit(one(6, 9, "0"));
    assert!(kept.is_filling());
    kept.begin_edit(one(7, 2, "0"));
    assert!(!kept.is_filling());
    kept.commit(0);
    kept.check();
}

#[test]
fn quotes_that_come_faster_than_the_log_is_read_are_read_from_it_too() {
    let mut kept = Kept::new(shape(1, &[(1, "0")], ["x"].into_iter(), false));
    (0..10).for_each(|i| kept.quote("x", 30 * i, 1));
    kept.begin_edit(shape(2, &[(8, "0")], ["x"].into_iter(), false));
    (0..60_000).for_each(|_| kept.quote("x", 300, 1));
    kept.quote("x", 400, 2);
    kept.read(i64::MAX);
    assert!(kept.is_filling(), "what was computed meanwhile is not kept without bound");
    kept.quote("x", 410, 2);
    kept.read(i64::MAX);
    assert!(!kept.is_filling());
    assert_eq!(kept.live.entities().next().unwrap().1.samples().len(), 13);
    kept.commit(0);
    kept.check();
}

#[test]
fn an_entity_that_is_not_listed_goes_once_the_log_has_no_quote_of_it() {
    let wild = || shape(1, &[(5, "0")], ["listed"].into_iter(), true);
    let mut kept = Kept::new(wild());
    for (entity, second) in
        [("listed", 0), ("silent", 0), ("repeats", 0), ("x", 60), ("repeats", 0), ("x", 61)]
    {
        kept.quote(entity, second, 1);
    }
    kept.commit(usize::MAX);
    assert_eq!(kept.forget(1), 0, "they have quotes in the log");
    assert_eq!(kept.forget(4), 1);
    kept.commit(0);
    kept.check();
    assert!(last(&kept, r#""silent""#).is_none() && last(&kept, r#""repeats""#).is_some());
    kept.crash(wild());
    assert_eq!(kept.forget(4), 0, "a duplicate counts as a quote after a restart too");
    kept.quote("silent", 62, 2);
    kept.commit(usize::MAX);
    kept.check();
    let samples = |name: &str| kept.live.entities().find(|(n, _)| &**n == name).unwrap().1.samples().len();
    assert_eq!((samples("silent"), samples("listed")), (1, 1));
}

#[test]
fn entities_that_went_make_room_for_others_and_a_replay_knows_when() {
    let mut kept = Kept::new(shape(1, &[(5, "0")], [].into_iter(), true));
    let limit = i64::try_from(stockwatch_core::WILDCARD_LIMIT).unwrap();
    (0..limit).for_each(|i| kept.quote(&format!("e{i}"), 0, 1));
    kept.commit(usize::MAX);
    // What is read again by a restore from here on.
    kept.quote("e0", 1, 1);
    kept.quote("one too many", 2, 1);
    assert_eq!(kept.forget(limit / 2), stockwatch_core::WILDCARD_LIMIT / 2 - 1);
    kept.commit(0);
    kept.check();
    kept.quote("one too many", 3, 1);
    kept.commit(0);
    kept.check();
    let (_, late) = kept.live.entities().find(|(name, _)| &**name == "one too many").unwrap();
    assert_eq!((late.samples().len(), late.born), (1, limit + 2));
}

#[test]
fn a_worker_that_ends_leaves_a_whole_record() {
    let mut kept = Kept::new(largest(0, false));
    kept.edit(largest(1, false));
    kept.commit(0);
    assert!(last(&kept, SHAPE_CHANGES_KEY).is_some());
    kept.finish();
    assert!(last(&kept, SHAPE_CHANGES_KEY).is_none());
    let whole = std::str::from_utf8(last(&kept, SHAPE_KEY).unwrap()).unwrap();
    assert!(whole.starts_with(r#"{"uid":"00000000-0000-0000-0000-000000000000","generation":1,"epoch":2,"#));
    kept.check();
}

#[derive(Debug, Clone)]
enum Event {
    Quote {
        entity: usize,
        second: i64,
        cents: i64,
    },
    Edit {
        windows: Vec<u32>,
        entities: u8,
        wildcard: bool,
        long: bool,
    },
    Tolerance(u64),
    /// So many records of the log are read for a longer window.
    Read(i64),
    /// The log begins so many records before its end.
    Forget(i64),
    Commit {
        budget: usize,
    },
    Crash,
    Finish,
}

fn event() -> impl Strategy<Value = Event> {
    let budget = prop_oneof![Just(0_usize), 1..600_usize, Just(usize::MAX)];
    prop_oneof![
        10 => (0..3_usize, 0..1200_i64, 1..500_i64)
            .prop_map(|(entity, second, cents)| Event::Quote { entity, second, cents }),
        6 => (prop::sample::subsequence(vec![1_u32, 2, 3, 5, 8], 1..=3), 0..8_u8, any::<bool>(), any::<bool>())
            .prop_map(|(windows, entities, wildcard, long)| Event::Edit { windows, entities, wildcard, long }),
        1 => (1..9_u64).prop_map(Event::Tolerance),
        6 => (1..30_i64).prop_map(Event::Read),
        3 => (0..20_i64).prop_map(Event::Forget),
        5 => budget.prop_map(|budget| Event::Commit { budget }),
        1 => Just(Event::Crash),
        1 => Just(Event::Finish),
    ]
}

/// With `long`, so many entities more that edits are recorded as changes.
fn wanted(
    generation: u64,
    tolerance: u64,
    windows: &[u32],
    entities: u8,
    wildcard: bool,
    long: bool,
) -> Arc<Shape> {
    let text = tolerance.to_string();
    let windows: Vec<(u32, &str)> = windows.iter().map(|m| (*m, text.as_str())).collect();
    let listed = ENTITIES.into_iter().enumerate().filter(|(i, _)| entities >> i & 1 == 1).map(|(_, e)| e);
    let more: Vec<String> = (0..if long { 150 } else { 0 }).map(|i| format!("{i:064}")).collect();
    shape(generation, &windows, listed.chain(more.iter().map(String::as_str)), wildcard)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_restore_at_any_time_gives_the_state_of_a_worker_that_never_restarted(
        events in prop::collection::vec(event(), 1..100)
    ) {
        let (mut generation, mut tolerance) = (1, 0);
        let mut spec = (vec![2, 5], 7, false, false);
        let mut kept = Kept::new(wanted(1, 0, &spec.0, spec.1, spec.2, spec.3));
        for event in events {
            let mut shape = || {
                generation += 1;
                wanted(generation, tolerance, &spec.0, spec.1, spec.2, spec.3)
            };
            match event {
                Event::Quote { entity, second, cents } => kept.quote(ENTITIES[entity], second, cents),
                Event::Edit { windows, entities, wildcard, long } => {
                    spec = (windows, entities, wildcard, long);
                    generation += 1;
                    kept.begin_edit(wanted(generation, tolerance, &spec.0, spec.1, spec.2, spec.3));
                }
                Event::Read(most) => kept.read(most),
                Event::Forget(records) => _ = kept.forget(kept.end() - records),
                Event::Tolerance(other) => {
                    tolerance = other;
                    generation += 1;
                    kept.begin_edit(wanted(generation, tolerance, &spec.0, spec.1, spec.2, spec.3));
                }
                Event::Crash => {
                    let shape = shape();
                    kept.crash(shape);
                }
                Event::Commit { budget } => {
                    kept.commit(budget);
                    kept.check();
                }
                Event::Finish => {
                    kept.finish();
                    kept.check();
                }
            }
        }
        kept.fill();
        kept.commit(0);
        kept.check();
        assert_eq!(kept.live.shape().unwrap().windows.len(), spec.0.len());
    }
}
