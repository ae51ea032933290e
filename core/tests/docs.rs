//! What pages of `docs/` say of the core is what it does: the tables and pictures of alarms, the reasons of dead letters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, dead_code)]

mod kept;
mod page;

use std::collections::BTreeSet;

use page::picture::svg;
use page::{Example, rows, table};
use stockwatch_core::wire::DeadLetterReason;
use stockwatch_crds::{Alarms, GapPolicy};

const PAGE: &str = include_str!("../../docs/alarms.md");

#[test]
fn the_page_shows_what_is_computed() {
    let set = |quiet: Option<u32>, gaps: GapPolicy, min_count: u64| Alarms { quiet, gaps, min_count };
    let default = Alarms::default();
    for (example, count, tolerance, alarms, first) in [
        (Example::Step, 17, "1%", default, 8),
        (Example::Step, 17, "1%", set(Some(0), GapPolicy::Alarm, 1), 8),
        (Example::Tick, 17, "1%", default, 9),
        (Example::Gap, 9, "1%", default, 4),
        (Example::Gap, 9, "1%", set(None, GapPolicy::Skip, 1), 4),
        (Example::Gap, 9, "1%", set(None, GapPolicy::Alarm, 3), 4),
        (Example::Drift, 20, "0.25%", default, 16),
        (Example::Drift, 20, "0.5%", default, 16),
    ] {
        let table = table(&rows(tolerance, alarms, example.quotes(count)), first);
        let name = example.name();
        assert!(PAGE.contains(&table), "docs/alarms.md, {name}, {alarms:?}: this is computed:\n{table}");
    }
}

#[test]
fn the_pictures_show_what_is_computed() {
    for example in Example::ALL {
        let file = format!("alarms/{}.svg", example.name());
        let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let is_current = std::fs::read_to_string(path).is_ok_and(|drawn| drawn == svg(example));
        assert!(is_current, "docs/{file} is not what is computed: make pictures");
        assert!(PAGE.contains(&format!("]({file})")), "docs/alarms.md does not show {file}");
    }
}

#[test]
fn every_reason_of_a_dead_letter_is_explained() {
    let page = include_str!("../../docs/topics.md");
    let (_, table) = page.split_once("| reason | the record |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let explained: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let all: BTreeSet<&str> = DeadLetterReason::ALL.map(DeadLetterReason::as_str).into();
    assert_eq!(explained, all);
}
