//! The tables of `docs/alarms.md` are what is computed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod kept;

use std::fmt::Write as _;
use std::sync::Arc;

use kept::{Kept, START, shape};
use stockwatch_core::{NANO, Shape, Verdict, push_nanos};
use stockwatch_crds::{Alarms, GapPolicy};

const PAGE: &str = include_str!("../../docs/alarms.md");

/// A window of 5 minutes at a tolerance, with these settings.
fn rules(tolerance: &str, alarms: Alarms) -> Arc<Shape> {
    let shape = shape(1, &[(5, tolerance)], ["meta"].into_iter(), false);
    Arc::new(Shape { alarms, ..(*shape).clone() })
}

/// What becomes of quotes (minute, cents), from `first` on.
fn table(rules: Arc<Shape>, quotes: impl Iterator<Item = (i64, i64)>, first: i64) -> String {
    let mut kept = Kept::new(rules);
    let mut table = String::from("minute   price  average  verdict\n");
    for (minute, cents) in quotes {
        kept.quote("meta", 60 * minute, cents);
        if minute < first {
            continue;
        }
        let (_, entity) = kept.live.entities().next().unwrap();
        let (mut price, mut average) = (Vec::new(), Vec::new());
        push_nanos(&mut price, cents * NANO / 100);
        push_nanos(&mut average, entity.averages().next().unwrap().rounded());
        let text = |digits: Vec<u8>| String::from_utf8(digits).unwrap();
        let verdict = match kept.judgement.verdicts()[0] {
            Verdict::NoPrevious => "no average before".to_owned(),
            Verdict::Within => "within".to_owned(),
            Verdict::Skipped(reason) => format!("skipped: {}", reason.as_str()),
            Verdict::Alarm => {
                let alarm = &kept.judgement.alarms()[0];
                let start = (alarm.episode.start / NANO - START) / 60;
                let gap = if alarm.is_gap { ", gap" } else { "" };
                format!("alarm {} of the episode that began at {start}{gap}", alarm.episode.number)
            }
        };
        writeln!(table, "{minute:>6} {:>7} {:>8}  {verdict}", text(price), text(average)).unwrap();
    }
    table
}

#[test]
fn the_page_shows_what_is_computed() {
    let step = |minute: i64| (minute, if minute < 10 { 10_000 } else { 11_000 });
    let tick = |minute: i64| (minute, if minute == 10 { 11_000 } else { 10_000 });
    let gap = |minute: i64| if minute < 6 { (minute, 10_000) } else { (minute + 894, 11_000) };
    let drift = |minute: i64| (minute, 10_000 + 40 * minute);
    let set = |quiet: Option<u32>, gaps: GapPolicy, min_count: u64| Alarms { quiet, gaps, min_count };
    let each = Some(0);
    for (name, table) in [
        ("step", table(rules("1%", Alarms::default()), (0..17).map(step), 8)),
        ("step, quiet: 0m", table(rules("1%", set(each, GapPolicy::Alarm, 1)), (0..17).map(step), 8)),
        ("tick", table(rules("1%", Alarms::default()), (0..17).map(tick), 9)),
        ("gap", table(rules("1%", Alarms::default()), (0..9).map(gap), 4)),
        ("gap, gaps: Skip", table(rules("1%", set(None, GapPolicy::Skip, 1)), (0..9).map(gap), 4)),
        ("gap, minCount: 3", table(rules("1%", set(None, GapPolicy::Alarm, 3)), (0..9).map(gap), 4)),
        ("drift", table(rules("0.25%", Alarms::default()), (0..20).map(drift), 16)),
        ("drift, 0.5%", table(rules("0.5%", Alarms::default()), (0..20).map(drift), 16)),
    ] {
        assert!(PAGE.contains(&table), "docs/alarms.md, {name}: this is computed:\n{table}");
    }
}
