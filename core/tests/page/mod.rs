//! The examples of `docs/alarms.md`: quotes of one entity, and what the core makes of them by some settings.

pub mod picture;

use std::fmt::Write as _;
use std::sync::Arc;

use stockwatch_core::{Alarm, NANO, Shape, SkipReason, Verdict, push_nanos};
use stockwatch_crds::{Alarms, GapPolicy};

use crate::kept::{Kept, START, shape};

/// A quote, and what became of it.
pub struct Row {
    pub minute: i64,
    pub cents: i64,
    /// In units of 10⁻⁹.
    pub average: i64,
    pub verdict: Verdict,
    pub alarm: Option<Alarm>,
}

impl Row {
    pub fn skipped(&self) -> Option<SkipReason> {
        match self.verdict {
            Verdict::Skipped(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The minute of an event time in nanoseconds.
pub fn minute(time: i64) -> i64 {
    (time / NANO - START) / 60
}

/// What becomes of quotes (minute, cents) with a window of 5 minutes at a tolerance, by these settings.
pub fn rows(tolerance: &str, alarms: Alarms, quotes: impl Iterator<Item = (i64, i64)>) -> Vec<Row> {
    let shape = shape(1, &[(5, tolerance)], ["meta"].into_iter(), false);
    let mut kept = Kept::new(Arc::new(Shape { alarms, ..(*shape).clone() }));
    let row = |(minute, cents)| {
        kept.quote("meta", 60 * minute, cents);
        let (_, entity) = kept.live.entities().next().unwrap();
        let (verdict, alarm) = (kept.judgement.verdicts()[0], kept.judgement.alarms().first().copied());
        Row { minute, cents, average: entity.averages().next().unwrap().rounded(), verdict, alarm }
    };
    quotes.map(row).collect()
}

/// The rows from a minute on, as the page has them.
pub fn table(rows: &[Row], first: i64) -> String {
    let mut table = String::from("minute   price  average  verdict\n");
    for row in rows.iter().filter(|row| row.minute >= first) {
        let verdict = match (row.verdict, row.alarm) {
            (Verdict::NoPrevious, _) => "no average before".to_owned(),
            (Verdict::Skipped(reason), _) => format!("skipped: {}", reason.as_str()),
            (_, None) => "within".to_owned(),
            (_, Some(alarm)) => {
                let gap = if alarm.is_gap { ", gap" } else { "" };
                let start = minute(alarm.episode.start);
                format!("alarm {} of the episode that began at {start}{gap}", alarm.episode.number)
            }
        };
        let (price, average) = (decimal(row.cents * NANO / 100), decimal(row.average));
        writeln!(table, "{:>6} {price:>7} {average:>8}  {verdict}", row.minute).unwrap();
    }
    table
}

/// A number of 10⁻⁹ as outputs have it.
pub fn decimal(nanos: i64) -> String {
    let mut text = Vec::new();
    push_nanos(&mut text, nanos);
    String::from_utf8(text).unwrap()
}

/// One kind of move of a price.
#[derive(Clone, Copy)]
pub enum Example {
    Step,
    Tick,
    Gap,
    Drift,
}

impl Example {
    pub const ALL: [Self; 4] = [Self::Step, Self::Tick, Self::Gap, Self::Drift];

    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Tick => "tick",
            Self::Gap => "gap",
            Self::Drift => "drift",
        }
    }

    /// Minute and cents of its first quotes.
    pub fn quotes(self, count: i64) -> impl Iterator<Item = (i64, i64)> {
        (0..count).map(move |i| match self {
            Self::Step => (i, if i < 10 { 10_000 } else { 11_000 }),
            Self::Tick => (i, if i == 10 { 11_000 } else { 10_000 }),
            Self::Gap if i < 6 => (i, 10_000),
            Self::Gap => (i + 894, 11_000),
            Self::Drift => (i, 10_000 + 40 * i),
        })
    }

    /// How many quotes its picture has.
    fn shown(self) -> i64 {
        match self {
            Self::Gap => 20,
            _ => 29,
        }
    }

    /// What its picture compares: a caption, a tolerance and settings each.
    fn panels(self) -> Vec<(&'static str, &'static str, Alarms)> {
        let default = Alarms::default();
        let quiet = |minutes| Alarms { quiet: Some(minutes), ..default };
        match self {
            Self::Step => {
                vec![("by default: quiet is twice the window", "1%", default), ("quiet: 0m", "1%", quiet(0))]
            }
            Self::Tick => {
                vec![("by default: quiet is twice the window", "1%", default), ("quiet: 5m", "1%", quiet(5))]
            }
            Self::Gap => vec![
                ("by default: gaps: Alarm", "1%", default),
                ("gaps: Skip", "1%", Alarms { gaps: GapPolicy::Skip, ..default }),
                ("minCount: 3", "1%", Alarms { min_count: 3, ..default }),
            ],
            Self::Drift => {
                vec![("tolerance: 0.25%", "0.25%", default), ("tolerance: 0.5%", "0.5%", default)]
            }
        }
    }
}
