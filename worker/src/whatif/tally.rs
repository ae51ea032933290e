//! What each way to judge a ticker's windows comes to, and its sum over tickers.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Arc;

use serde::Serialize;
use stockwatch_core::{Accepted, Episode, Moved, SkipReason};

use super::candidate::Candidate;
use super::paper::{Accounts, Paper};
use super::plan::Plan;

/// What rules make of quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Alarms.
    pub alarms: u64,
    /// Episodes with an alarm in the range.
    pub episodes: u64,
    /// Moves beyond a tolerance that are no alarms.
    pub skipped: Skipped,
    /// Alarms that the rules in force do not give.
    pub gained: u64,
    /// Alarms that only the rules in force give.
    pub lost: u64,
}

/// Moves beyond a tolerance that are no alarms, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Skipped {
    /// The two averages have no quote in common.
    pub gap: u64,
    /// One of the two averages has too few quotes.
    pub min_count: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.alarms += other.alarms;
        self.episodes += other.episodes;
        self.skipped.gap += other.skipped.gap;
        self.skipped.min_count += other.skipped.min_count;
        self.gained += other.gained;
        self.lost += other.lost;
    }
}

/// One way to judge one window of one ticker, so far.
#[derive(Debug, Clone, Copy, Default)]
struct LineTally {
    alarms: u64,
    episodes: u64,
    skipped: Skipped,
    /// Alarms of quotes for which the line in force gives one too.
    common: u64,
    /// That of the last alarm.
    episode: Option<Episode>,
}

impl LineTally {
    fn raise(&mut self, episode: Episode, by_rules_in_force: bool) {
        self.alarms += 1;
        self.common += u64::from(by_rules_in_force);
        self.episodes += u64::from(episode.number == 1);
        self.episode = Some(episode);
    }

    fn skip(&mut self, reason: SkipReason) {
        match reason {
            SkipReason::Gap => self.skipped.gap += 1,
            SkipReason::MinCount => self.skipped.min_count += 1,
        }
    }
}

/// All ways to judge one ticker, so far.
#[derive(Debug)]
pub(super) struct Tally {
    plan: Arc<Plan>,
    /// Window by window, as the plan has them.
    lines: Vec<LineTally>,
    accounts: Accounts,
    /// Averages that have no quote in common with the one before.
    pub(super) gaps: u64,
}

impl Tally {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        let (lines, accounts) = (vec![LineTally::default(); plan.lines()], Accounts::new(&plan));
        Self { plan, lines, accounts, gaps: 0 }
    }

    /// Judges a quote by every line; returns the places of the windows for which the rules in force give an alarm, a bit
    /// each.
    pub(super) fn judge(&mut self, moved: &Moved<'_>) -> u16 {
        if moved.previous_time.is_none() {
            // It may have begun anew, in another currency.
            self.lines.iter_mut().for_each(|line| line.episode = None);
        }
        let mut in_force = 0;
        let time = moved.entity.newest().unwrap_or_default();
        let windows = moved.entity.averages().zip(moved.previous).zip(&self.plan.windows);
        for (place, ((average, previous), window)) in windows.enumerate() {
            let Some(previous) = *previous else { continue };
            let is_gap = moved.is_gap(window.minutes);
            self.gaps += u64::from(is_gap);
            let exceeded = window.exceeded(average, previous);
            if exceeded.is_none() {
                continue;
            }
            let count = average.count.min(previous.count);
            let own = window.in_force();
            let by_own = exceeded.has(own) && window.lines[own].skips(is_gap, count).is_none();
            in_force |= u16::from(by_own) << place;
            for at in exceeded.lines() {
                let (line, tally) = (&window.lines[at], &mut self.lines[window.first + at]);
                match line.skips(is_gap, count) {
                    Some(reason) => tally.skip(reason),
                    None => {
                        let live = tally.episode.as_ref();
                        let episode = Episode::of_alarm(live, window.minutes, time, line.quiet, moved.origin);
                        tally.raise(episode, by_own);
                    }
                }
            }
        }
        in_force
    }

    /// Moves the paper accounts by a quote that was judged.
    #[inline]
    pub(super) fn trade(&mut self, quote: &Accepted<'_>) {
        self.accounts.trade(&self.plan, quote, |line| self.lines[line].episode);
    }

    /// Each candidate's figures, window by window.
    fn figures(&self) -> impl Iterator<Item = (usize, usize, Figures)> + '_ {
        self.plan.windows.iter().enumerate().flat_map(move |(place, window)| {
            let own = &self.lines[window.first + window.in_force()];
            window.line_of.iter().enumerate().map(move |(candidate, at)| {
                let line = &self.lines[window.first + at];
                let LineTally { alarms, episodes, skipped, common, .. } = *line;
                let (gained, lost) = (alarms - common, own.alarms - common);
                (candidate, place, Figures { alarms, episodes, skipped, gained, lost })
            })
        })
    }
}

/// What the rules of one candidate come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) figures: Figures,
    /// With `trade`.
    pub(super) paper: Option<Paper>,
}

impl Sum {
    fn add_paper(&mut self, paper: &Paper) {
        self.paper.get_or_insert_default().add(paper);
    }
}

/// Sums over tickers.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// By candidate and window.
    pub(super) windows: Vec<Vec<Figures>>,
    /// Of the candidates with `trade`.
    pub(super) papers: Vec<Option<Paper>>,
    /// By ticker and candidate, if that is asked for.
    pub(super) tickers: Option<BTreeMap<String, Vec<Sum>>>,
    /// Tickers that are counted.
    pub(super) counted: u64,
    /// Averages that have no quote in common with the one before.
    pub(super) gaps: u64,
}

impl Totals {
    pub(super) fn new(candidates: &[Candidate], by_ticker: bool) -> Self {
        let windows = candidates.first().map_or(0, |candidate| candidate.rules.windows.len());
        let paper = |candidate: &Candidate| candidate.rules.trade.is_some().then(Paper::default);
        Self {
            windows: vec![vec![Figures::default(); windows]; candidates.len()],
            papers: candidates.iter().map(paper).collect(),
            tickers: by_ticker.then(BTreeMap::new),
            counted: 0,
            gaps: 0,
        }
    }

    pub(super) fn add(&mut self, entity: &str, tally: &Tally) {
        self.counted += 1;
        self.gaps += tally.gaps;
        let mut own = vec![Sum::default(); self.windows.len()];
        for (candidate, place, figures) in tally.figures() {
            self.windows[candidate][place] += figures;
            own[candidate].figures += figures;
        }
        let papers = tally.accounts.papers(&tally.plan);
        for (candidate, trading) in tally.plan.trading_of.iter().enumerate() {
            if let Some(paper) = trading.and_then(|trading| papers.get(trading)) {
                own[candidate].add_paper(paper);
                self.papers[candidate].get_or_insert_default().add(paper);
            }
        }
        let Some(tickers) = &mut self.tickers else { return };
        match tickers.get_mut(entity) {
            Some(all) => {
                for (all, own) in all.iter_mut().zip(own) {
                    all.figures += own.figures;
                    own.paper.iter().for_each(|paper| all.add_paper(paper));
                }
            }
            None => _ = tickers.insert(entity.to_owned(), own),
        }
    }
}
