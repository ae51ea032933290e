//! How one ticker's moves are judged by all candidates at once: the tolerances and settings that differ, window by window.
//!
//! A sweep of one window leaves the others as they are, and most tickers have no tolerances of their own, so there are
//! far fewer ways to judge a window than candidates.

use std::ops::Range;
use std::sync::Arc;

use stockwatch_core::{Average, Shape, SkipReason, exceeds};
use stockwatch_crds::{Alarms, Bound, Trade};

use super::candidate::Candidate;

/// One way to judge a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    bound: Bound,
    alarms: Alarms,
    /// Nanoseconds of event time.
    pub(super) quiet: i64,
}

impl Line {
    fn of(rules: &Shape, entity: &str, place: usize) -> Self {
        let minutes = rules.windows[place].minutes;
        Self {
            bound: rules.tolerance(entity, place).bound,
            alarms: rules.alarms,
            quiet: nanoseconds(rules.alarms.quiet_of(minutes)),
        }
    }

    /// Why a move beyond the tolerance is no alarm; `None`: it is one.
    #[inline]
    pub(super) fn skips(&self, is_gap: bool, count: u64) -> Option<SkipReason> {
        SkipReason::of(&self.alarms, is_gap, count)
    }

    /// Absolute tolerances first, each kind ascending.
    fn order(&self) -> (bool, u64) {
        match self.bound {
            Bound::Absolute(bound) => (false, bound),
            Bound::Relative(bound) => (true, bound),
        }
    }
}

/// The ways to judge one window.
#[derive(Debug)]
pub(super) struct WindowPlan {
    pub(super) minutes: u32,
    /// Absolute tolerances, then relative ones, each kind ascending.
    pub(super) lines: Vec<Line>,
    /// How many are absolute.
    absolute: usize,
    /// The line of each candidate; the first candidate is what is in force.
    pub(super) line_of: Vec<usize>,
    /// How many lines the windows before have.
    pub(super) first: usize,
}

impl WindowPlan {
    fn new(candidates: &[Candidate], entity: &str, place: usize, first: usize) -> Self {
        let own: Vec<Line> = candidates.iter().map(|c| Line::of(&c.rules, entity, place)).collect();
        let mut lines: Vec<Line> = Vec::new();
        for line in &own {
            if !lines.contains(line) {
                lines.push(line.clone());
            }
        }
        lines.sort_by_key(Line::order);
        let line_of = own.iter().filter_map(|line| lines.iter().position(|other| other == line)).collect();
        let absolute = lines.iter().take_while(|line| matches!(line.bound, Bound::Absolute(_))).count();
        let minutes = candidates.first().map_or(0, |c| c.rules.windows[place].minutes);
        Self { minutes, lines, absolute, line_of, first }
    }

    /// The places of the lines whose tolerance a move exceeds: those of each kind up to the first that it does not.
    #[inline]
    pub(super) fn exceeded(&self, average: Average, previous: Average) -> Exceeded {
        let of =
            |lines: &[Line]| lines.iter().take_while(|line| exceeds(average, previous, line.bound)).count();
        let (absolute, relative) = self.lines.split_at(self.absolute);
        Exceeded { absolute: 0..of(absolute), relative: self.absolute..self.absolute + of(relative) }
    }

    /// The place of the line in force.
    pub(super) fn in_force(&self) -> usize {
        self.line_of.first().copied().unwrap_or_default()
    }
}

/// The places of lines whose tolerance a move exceeds.
#[derive(Debug, Clone)]
pub(super) struct Exceeded {
    absolute: Range<usize>,
    relative: Range<usize>,
}

impl Exceeded {
    pub(super) fn is_none(&self) -> bool {
        self.absolute.is_empty() && self.relative.is_empty()
    }

    pub(super) fn has(&self, line: usize) -> bool {
        self.absolute.contains(&line) || self.relative.contains(&line)
    }

    pub(super) fn lines(self) -> impl Iterator<Item = usize> {
        self.absolute.chain(self.relative)
    }
}

/// One way to trade: whose alarms are signals, and the terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trading {
    /// The place of the window that is followed.
    pub(super) place: usize,
    /// The line among those of all windows.
    pub(super) line: usize,
    pub(super) trade: Trade,
}

/// The ways to judge each window of a ticker, and to trade by that.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) windows: Vec<WindowPlan>,
    pub(super) tradings: Vec<Trading>,
    /// The place among them of each candidate's; `None`: it has no accounts.
    pub(super) trading_of: Vec<Option<usize>>,
}

impl Plan {
    fn new(candidates: &[Candidate], entity: &str) -> Self {
        let places = candidates.first().map_or(0, |c| c.rules.windows.len());
        let mut windows: Vec<WindowPlan> = Vec::with_capacity(places);
        for place in 0..places {
            let first = windows.last().map_or(0, |window| window.first + window.lines.len());
            windows.push(WindowPlan::new(candidates, entity, place, first));
        }
        let mut plan = Self { windows, tradings: Vec::new(), trading_of: Vec::new() };
        for (number, candidate) in candidates.iter().enumerate() {
            let place = candidate.rules.trade.as_ref().and_then(|trade| plan.trading(number, trade));
            plan.trading_of.push(place);
        }
        plan
    }

    /// The place of a candidate's way to trade, which is added if it is new.
    fn trading(&mut self, candidate: usize, trade: &Trade) -> Option<usize> {
        let place = self.windows.iter().position(|window| window.minutes == trade.minutes)?;
        let window = &self.windows[place];
        let line = window.first + window.line_of.get(candidate)?;
        let trading = Trading { place, line, trade: trade.clone() };
        let known = self.tradings.iter().position(|other| *other == trading);
        Some(known.unwrap_or_else(|| {
            self.tradings.push(trading);
            self.tradings.len() - 1
        }))
    }

    /// How many lines there are in all windows.
    pub(super) fn lines(&self) -> usize {
        self.windows.last().map_or(0, |window| window.first + window.lines.len())
    }
}

/// Makes plans, one for all tickers that no candidate treats differently.
#[derive(Debug)]
pub(super) struct Plans<'a> {
    candidates: &'a [Candidate],
    listed: Option<Arc<Plan>>,
    unlisted: Option<Arc<Plan>>,
}

impl<'a> Plans<'a> {
    pub(super) fn new(candidates: &'a [Candidate]) -> Self {
        Self { candidates, listed: None, unlisted: None }
    }

    pub(super) fn of(&mut self, entity: &str) -> Arc<Plan> {
        let make = || Arc::new(Plan::new(self.candidates, entity));
        let own = || self.candidates.iter().map(|c| c.rules.entities.get(entity));
        if own().all(|own| own.is_none()) {
            return Arc::clone(self.unlisted.get_or_insert_with(make));
        }
        if own().all(|own| own.is_some_and(Vec::is_empty)) {
            return Arc::clone(self.listed.get_or_insert_with(make));
        }
        make()
    }
}

/// Minutes in nanoseconds.
pub(super) fn nanoseconds(minutes: u32) -> i64 {
    i64::from(minutes) * 60 * stockwatch_core::NANO
}
