//! Episodes, and that what was said is restored as it was committed, whatever the settings were meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod kept;

use std::sync::Arc;

use kept::{Kept, START, shape};
use proptest::prelude::*;
use stockwatch_core::wire::{TableKey, said_key};
use stockwatch_core::{NANO, Shape, SkipReason, Verdict};
use stockwatch_crds::{Alarms, GapPolicy};

const ENTITIES: [&str; 2] = ["a", "b \"q\""];

/// Windows of 5 and 10 minutes where any move is an alarm, with these settings.
fn rules(generation: u64, alarms: Alarms) -> Arc<Shape> {
    with_windows(generation, &[5, 10], &ENTITIES, alarms)
}

fn with_windows(generation: u64, windows: &[u32], entities: &[&str], alarms: Alarms) -> Arc<Shape> {
    let windows: Vec<(u32, &str)> = windows.iter().map(|minutes| (*minutes, "0")).collect();
    let shape = shape(generation, &windows, entities.iter().copied(), false);
    Arc::new(Shape { alarms, ..(*shape).clone() })
}

/// Minutes, number and seconds since the start (first, end) of the last quote's alarms.
fn alarms(kept: &Kept) -> Vec<(u32, u64, i64, i64)> {
    let second = |time: i64| time / NANO - START;
    let one = |alarm: &stockwatch_core::Alarm| {
        let episode = &alarm.episode;
        (episode.minutes, episode.number, second(episode.start), second(episode.end))
    };
    kept.judgement.alarms().iter().map(one).collect()
}

fn said_records(kept: &Kept) -> Vec<Option<String>> {
    let said = kept.table.iter().filter(|(key, _)| matches!(TableKey::parse(key), TableKey::Said(_)));
    said.map(|(_, value)| value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned())).collect()
}

#[test]
fn a_bad_tick_is_one_episode_of_each_window() {
    let mut kept = Kept::new(rules(1, Alarms::default()));
    for minute in 0..15 {
        kept.quote("a", 60 * minute, 1_000);
    }
    kept.quote("a", 900, 2_000);
    assert_eq!(alarms(&kept), [(5, 1, 900, 1_500), (10, 1, 900, 2_100)]);
    let mut numbers = Vec::new();
    for minute in 16..40 {
        kept.quote("a", 60 * minute, 1_000);
        numbers.extend(alarms(&kept).into_iter().map(|(minutes, number, start, _)| (minutes, number, start)));
    }
    assert_eq!(numbers, [(5, 2, 900), (10, 2, 900)], "when it leaves each average");
}

#[test]
fn a_lasting_step_is_one_episode_of_each_window() {
    let mut kept = Kept::new(rules(1, Alarms::default()));
    for minute in 0..15 {
        kept.quote("a", 60 * minute, 1_000);
    }
    let mut last = Vec::new();
    for minute in 15..40 {
        kept.quote("a", 60 * minute, 2_000);
        last.extend(alarms(&kept));
    }
    assert!(last.iter().all(|(_, _, start, _)| *start == 900), "{last:?}");
    let most = |minutes| last.iter().filter(|(m, ..)| *m == minutes).map(|(_, number, ..)| *number).max();
    assert_eq!((most(5), most(10)), (Some(5), Some(10)));
}

#[test]
fn a_move_over_a_gap_is_marked_or_skipped() {
    for gaps in [GapPolicy::Alarm, GapPolicy::Skip] {
        let mut kept = Kept::new(rules(1, Alarms { gaps, ..Alarms::default() }));
        kept.quote("a", 0, 1_000);
        kept.quote("a", 300, 2_000);
        let skipped = Verdict::Skipped(SkipReason::Gap);
        let expected = if gaps == GapPolicy::Skip { skipped } else { Verdict::Alarm };
        assert_eq!(kept.judgement.verdicts(), [expected, Verdict::Alarm]);
        let marks: Vec<bool> = kept.judgement.alarms().iter().map(|alarm| alarm.is_gap).collect();
        let expected = if gaps == GapPolicy::Skip { vec![false] } else { vec![true, false] };
        assert_eq!(marks, expected, "the longer window has both quotes");
        kept.quote("a", 299, 1);
        assert!(kept.judgement.alarms().iter().all(|alarm| !alarm.is_gap), "a late quote leaves no gap");
    }
}

#[test]
fn averages_of_few_quotes_raise_nothing() {
    let mut kept = Kept::new(rules(1, Alarms { min_count: 2, ..Alarms::default() }));
    let skipped = Verdict::Skipped(SkipReason::MinCount);
    let quotes = [
        (0, 1_000, [Verdict::NoPrevious; 2]),
        (60, 1_000, [Verdict::Within; 2]),
        (120, 2_000, [Verdict::Alarm; 2]),
        (470, 3_000, [skipped, Verdict::Alarm]),
        (530, 4_000, [skipped, Verdict::Alarm]),
        (590, 5_000, [Verdict::Alarm; 2]),
    ];
    for (second, cents, expected) in quotes {
        kept.quote("a", second, cents);
        assert_eq!(kept.judgement.verdicts(), expected, "at {second} s");
    }
}

#[test]
fn an_episode_goes_on_after_a_crash_at_any_place() {
    let rules = || rules(1, Alarms::default());
    for commits in [0, 1, 2] {
        let mut kept = Kept::new(rules());
        kept.quote("a", 0, 1_000);
        kept.quote("a", 60, 2_000);
        (0..commits).for_each(|_| kept.commit(if commits == 2 { usize::MAX } else { 0 }));
        kept.crash(rules());
        kept.commit(0);
        kept.check();
        kept.quote("a", 120, 3_000);
        assert_eq!(alarms(&kept), [(5, 2, 60, 720), (10, 2, 60, 1_320)]);
    }
}

#[test]
fn what_was_said_is_written_when_it_changes_and_only_then() {
    let mut kept = Kept::new(rules(1, Alarms::default()));
    kept.quote("a", 0, 1_000);
    kept.commit(usize::MAX);
    assert!(said_records(&kept).is_empty());
    kept.quote("a", 60, 2_000);
    kept.quote("a", 61, 3_000);
    kept.commit(0);
    kept.quote("a", 61, 3_000);
    kept.commit(usize::MAX);
    assert_eq!(said_records(&kept).len(), 1, "once for both, and not for a duplicate");
    kept.edit(rules(2, Alarms { quiet: Some(0), ..Alarms::default() }));
    kept.commit(0);
    assert_eq!(said_records(&kept).len(), 1, "settings act at an alarm");
    kept.quote("a", 62, 4_000);
    kept.commit(0);
    assert_eq!(said_records(&kept).last(), Some(&None), "nothing is left to keep");
    kept.quote("a", 63, 5_000);
    kept.commit(0);
    assert_eq!(said_records(&kept).len(), 2);
    kept.check();
}

#[test]
fn what_was_said_goes_with_its_window_and_its_entity() {
    let mut kept = Kept::new(rules(1, Alarms::default()));
    for second in [0, 60] {
        kept.quote("a", second, 1_000 + second);
    }
    kept.commit(0);
    kept.edit(with_windows(2, &[10], &ENTITIES, Alarms::default()));
    kept.edit(rules(3, Alarms::default()));
    kept.commit(0);
    kept.check();
    let said = |kept: &Kept| {
        let (_, entity) = kept.live.entities().find(|(name, _)| &**name == "a").unwrap();
        entity.said.episodes.iter().map(|episode| episode.minutes).collect::<Vec<_>>()
    };
    assert_eq!(said(&kept), [10], "the window that was removed and added again has none");
    kept.edit(with_windows(4, &[5, 10], &ENTITIES[1..], Alarms::default()));
    kept.edit(rules(5, Alarms::default()));
    kept.commit(0);
    kept.check();
    assert_eq!(said_records(&kept).last(), Some(&None));
    kept.quote("a", 120, 1);
    assert_eq!(kept.judgement.verdicts(), [Verdict::NoPrevious; 2]);
}

#[test]
fn a_record_of_an_entity_that_went_meanwhile_is_not_taken_for_the_next_ones() {
    let mut kept = Kept::new(rules(1, Alarms::default()));
    for second in [0, 60] {
        kept.quote("a", second, 1_000 + second);
    }
    kept.commit(usize::MAX);
    let said = kept.table.iter().rfind(|(key, _)| *key == said_key("a")).unwrap().clone();
    kept.edit(with_windows(2, &[5, 10], &ENTITIES[1..], Alarms::default()));
    kept.edit(rules(3, Alarms::default()));
    kept.quote("a", 120, 1);
    kept.commit(usize::MAX);
    // A release that does not know the record would have left it.
    kept.table.push(said);
    kept.crash(rules(3, Alarms::default()));
    assert!(kept.live.entities().all(|(_, entity)| entity.said.is_empty()));
    kept.commit(0);
    assert_eq!(said_records(&kept).last(), Some(&None), "it is deleted");
}

#[test]
fn a_said_record_is_another_programs_to_releases_that_do_not_know_it() {
    // As they read keys: a string is an entity, an object with this field is theirs, and all else is left alone.
    #[derive(serde::Deserialize)]
    struct Reserved {
        #[expect(dead_code, reason = "only whether it is there matters")]
        stockwatch: String,
    }
    for name in ENTITIES {
        let key = said_key(name);
        assert!(serde_json::from_slice::<String>(&key).is_err());
        assert!(serde_json::from_slice::<Reserved>(&key).is_err());
    }
}

#[derive(Debug, Clone)]
enum Event {
    Quote { entity: usize, second: i64, cents: i64 },
    Settings(Option<u32>, bool, u64),
    Windows(Vec<u32>, usize),
    Commit(usize),
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let budget = prop_oneof![Just(0_usize), 1..600_usize, Just(usize::MAX)];
    let quiet = prop_oneof![Just(None), (0..8_u32).prop_map(Some)];
    prop_oneof![
        12 => (0..2_usize, 0..1500_i64, 1..4_i64)
            .prop_map(|(entity, second, cents)| Event::Quote { entity, second, cents }),
        2 => (quiet, any::<bool>(), 1..3_u64).prop_map(|(q, gaps, count)| Event::Settings(q, gaps, count)),
        2 => (prop::sample::subsequence(vec![1_u32, 2, 3, 5], 1..=3), 0..3_usize)
            .prop_map(|(windows, entities)| Event::Windows(windows, entities)),
        5 => budget.prop_map(Event::Commit),
        2 => Just(Event::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_restore_gives_what_was_said_as_a_worker_has_it_that_never_restarted(
        events in prop::collection::vec(event(), 1..80)
    ) {
        let mut generation = 1;
        let (mut windows, mut entities, mut alarms) = (vec![2, 5], 2, Alarms::default());
        let mut kept = Kept::new(with_windows(1, &windows, &ENTITIES, alarms));
        for event in events {
            generation += 1;
            let mut is_edit = true;
            match event {
                Event::Quote { entity, second, cents } => {
                    kept.quote(ENTITIES[entity], second, cents);
                    is_edit = false;
                }
                Event::Settings(quiet, skips, min_count) => {
                    let gaps = if skips { GapPolicy::Skip } else { GapPolicy::Alarm };
                    alarms = Alarms { quiet, gaps, min_count };
                }
                Event::Windows(wanted, listed) => (windows, entities) = (wanted, listed),
                Event::Commit(budget) => {
                    kept.commit(budget);
                    kept.check();
                    is_edit = false;
                }
                Event::Crash => {
                    kept.crash(with_windows(generation, &windows, &ENTITIES[..entities], alarms));
                    is_edit = false;
                }
            }
            if is_edit {
                kept.edit(with_windows(generation, &windows, &ENTITIES[..entities], alarms));
            }
        }
        kept.commit(0);
        kept.check();
    }
}
