//! The answer as data, in the form of `--output json`.

use serde::Serialize;
use stockwatch_core::wire::push_rfc3339;

use super::candidate::Candidate;
use super::paper::Paper;
use super::pass::Extent;
use super::study::Study;
use super::tally::{Figures, Sum};
use super::written::Fidelity;

/// Nanoseconds in a millisecond.
const MILLI: i64 = 1_000_000;

/// What would have been.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// `<namespace>/<name>`.
    pub stockwatch: String,
    /// The generation of the rules in force; absent for a plain file that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The raw records of the range, by their stamps.
    pub records: Span,
    /// The accepted quotes of counted tickers in it, by their event times.
    pub quotes: Span,
    /// Averages that have no quote in common with the one before: sessions' gaps, or quiet feeds.
    pub gaps: u64,
    /// Tickers that are counted.
    pub tickers: u64,
    /// Tickers with quotes that are not counted: the log does not go back far enough to fill their windows.
    pub not_counted: Vec<String>,
    /// What is missing; empty if the answer is about all that was asked for.
    pub incomplete: Vec<String>,
    /// The rules in force, then each candidate.
    pub rules: Vec<Judged>,
    /// How the replay compares with what was written; absent if that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Fidelity>,
}

/// A range of time, and how much is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// How many.
    pub count: u64,
    /// The first's time, RFC 3339; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Span {
    fn new(count: u64, extent: Extent, unit: i64) -> Self {
        let text = |time: i64| {
            let mut text = String::new();
            push_rfc3339(&mut text, time.max(0).saturating_mul(unit));
            text
        };
        let (from, to) = extent.0.unzip();
        Self { count, from: from.map(text), to: to.map(text) }
    }
}

/// What rules come to.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// `in force`, or the candidate.
    pub name: String,
    /// Of all windows and tickers.
    #[serde(flatten)]
    pub all: Figures,
    /// What its paper accounts come to, with `trade`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<Paper>,
    /// By window.
    pub windows: Vec<Part>,
    /// By ticker, those with figures that are not 0, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tickers: Option<Vec<Part>>,
}

/// A window's or a ticker's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `5m`, or the ticker.
    pub of: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// Its paper accounts: a ticker's, or those that follow the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<Paper>,
}

impl Answer {
    /// The answer of a study that is over; further facts are the caller's to fill in.
    pub fn new(study: &Study<'_>, candidates: &[Candidate], stockwatch: String) -> Self {
        let totals = &study.totals;
        let judged = |(place, candidate): (usize, &Candidate)| {
            let mut all = Figures::default();
            totals.windows[place].iter().for_each(|figures| all += *figures);
            let paper = &totals.papers[place];
            let followed = candidate.rules.trade.as_ref().map(|trade| trade.minutes);
            let windows = candidate.rules.minutes().zip(&totals.windows[place]).map(|(m, figures)| Part {
                of: format!("{m}m"),
                figures: *figures,
                paper: paper.clone().filter(|_| followed == Some(m)),
            });
            let tickers = totals.tickers.as_ref().map(|tickers| {
                let own = tickers.iter().filter(|(_, sums)| sums[place].figures != Figures::default());
                let part = |(name, sums): (&String, &Vec<Sum>)| {
                    let Sum { figures, paper } = sums[place].clone();
                    Part { of: name.clone(), figures, paper }
                };
                own.map(part).collect()
            });
            let (name, windows) = (candidate.name.clone(), windows.collect());
            Judged { name, all, paper: paper.clone(), windows, tickers }
        };
        Self {
            stockwatch,
            generation: None,
            records: Span::new(study.seen.records, study.seen.stamps, MILLI),
            quotes: Span::new(study.seen.quotes, study.seen.times, 1),
            gaps: totals.gaps,
            tickers: totals.counted,
            not_counted: study.left_out.iter().cloned().collect(),
            incomplete: Vec::new(),
            rules: candidates.iter().enumerate().map(judged).collect(),
            fidelity: None,
        }
    }

    /// The most alarms that a candidate gives; without candidates, those of the rules in force.
    pub fn most_alarms(&self) -> u64 {
        let judged = if self.rules.len() > 1 { &self.rules[1..] } else { &self.rules[..] };
        judged.iter().map(|judged| judged.all.alarms).max().unwrap_or(0)
    }
}
