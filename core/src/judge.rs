//! What an average that moved is taken for: settings and what was said before decide, never the state of the windows.

use stockwatch_crds::{Alarms, GapPolicy};

use crate::account::{Cause, Signal};
use crate::average::{Average, Direction, exceeds};
use crate::entity::{Entity, length};
use crate::said::{Episode, Said};
use crate::sample::Origin;
use crate::shape::Shape;

/// What an accepted quote is for one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The window has no average before to differ from.
    NoPrevious,
    /// The average moved by no more than the tolerance.
    Within,
    /// It moved by more.
    Alarm,
    /// It moved by more, and the settings say that this is no alarm.
    Skipped(SkipReason),
}

/// Why a move beyond a tolerance is no alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The two averages have no quote in common.
    Gap,
    /// One of the two averages has too few quotes.
    MinCount,
}

impl SkipReason {
    /// Every reason, in the order in which they are looked for.
    pub const ALL: [Self; 2] = [Self::Gap, Self::MinCount];

    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::MinCount => "min_count",
        }
    }

    /// Why a move between averages of at least `count` quotes each is no alarm by these settings; `None`: it is one.
    #[must_use]
    pub fn of(settings: &Alarms, is_gap: bool, count: u64) -> Option<Self> {
        if is_gap && settings.gaps == GapPolicy::Skip {
            return Some(Self::Gap);
        }
        (count < settings.min_count).then_some(Self::MinCount)
    }
}

/// An alarm of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The window's place among the windows.
    pub place: usize,
    /// Its average.
    pub average: Average,
    /// The one before.
    pub previous: Average,
    /// The two have no quote in common.
    pub is_gap: bool,
    /// The episode that it belongs to, this alarm included.
    pub episode: Episode,
}

impl Alarm {
    /// Returns what it signals to an account that follows its window, which has so many minutes.
    #[must_use]
    pub fn signal(&self, minutes: u32) -> Signal {
        let falls = self.average.minus(self.previous) < 0;
        Signal {
            direction: if falls { Direction::Down } else { Direction::Up },
            cause: Cause { minutes, episode: self.episode.origin },
        }
    }
}

/// What an accepted quote did to its entity's averages.
#[derive(Debug, Clone, Copy)]
pub struct Moved<'a> {
    /// The entity's name.
    pub name: &'a str,
    /// The entity, this quote included.
    pub entity: &'a Entity,
    /// Each window's last computed average, without this quote.
    pub previous: &'a [Option<Average>],
    /// Event time of those averages, nanoseconds since 1970; `None` before the first.
    pub previous_time: Option<i64>,
    /// The quote's raw record.
    pub origin: Origin,
}

impl Moved<'_> {
    /// Whether the two averages of a window of so many minutes have no quote in common.
    #[inline]
    #[must_use]
    pub fn is_gap(&self, minutes: u32) -> bool {
        let time = self.entity.newest().unwrap_or_default();
        self.previous_time.is_some_and(|before| before <= time.saturating_sub(length(minutes)))
    }
}

/// What one quote is for each window. Buffers are used again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    verdicts: Vec<Verdict>,
    alarms: Vec<Alarm>,
}

impl Judgement {
    /// One for each window, ascending by length; empty if nothing was judged.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The alarms among them, in the same order.
    pub fn alarms(&self) -> &[Alarm] {
        &self.alarms
    }

    /// Forgets the quote before.
    pub fn clear(&mut self) {
        self.verdicts.clear();
        self.alarms.clear();
    }

    /// Judges a quote by rules that have the windows of its entity; returns whether `said` changed.
    pub fn judge(&mut self, moved: &Moved<'_>, rules: &Shape, said: &mut Said) -> bool {
        self.clear();
        let own = rules.own_tolerances(moved.name);
        for (place, (average, previous)) in moved.entity.averages().zip(moved.previous).enumerate() {
            let verdict = match *previous {
                None => Verdict::NoPrevious,
                Some(previous) if exceeds(average, previous, rules.tolerance_among(own, place).bound) => {
                    self.raise(moved, rules, said, (place, average, previous))
                }
                Some(_) => Verdict::Within,
            };
            self.verdicts.push(verdict);
        }
        !self.alarms.is_empty()
    }

    #[cold]
    fn raise(
        &mut self,
        moved: &Moved<'_>,
        rules: &Shape,
        said: &mut Said,
        (place, average, previous): (usize, Average, Average),
    ) -> Verdict {
        let settings = &rules.alarms;
        let minutes = rules.windows[place].minutes;
        let time = moved.entity.newest().unwrap_or_default();
        let is_gap = moved.is_gap(minutes);
        if let Some(reason) = SkipReason::of(settings, is_gap, average.count.min(previous.count)) {
            return Verdict::Skipped(reason);
        }
        let quiet = length(settings.quiet_of(minutes));
        let episode = said.add_alarm(minutes, time, quiet, moved.origin);
        self.alarms.push(Alarm { place, average, previous, is_gap, episode });
        Verdict::Alarm
    }
}
