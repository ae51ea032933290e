//! The settings of alarms, parsed.

use crate::duration::parse_quiet;
use crate::limits::MAX_MIN_COUNT;
use crate::problem::Problems;
use crate::v1alpha1::{AlarmsSpec, GapPolicy};

/// Which moves beyond a tolerance are alarms, and which alarms are one episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarms {
    /// Event time in minutes within which the next alarm of a window joins an episode; `None`: twice the window.
    pub quiet: Option<u32>,
    /// What becomes of moves between averages without a quote in common.
    pub gaps: GapPolicy,
    /// Quotes that both averages have at least; 1 or more.
    pub min_count: u64,
}

impl Default for Alarms {
    /// Every move beyond a tolerance is an alarm; a window is quiet after twice its length.
    fn default() -> Self {
        Self { quiet: None, gaps: GapPolicy::default(), min_count: 1 }
    }
}

impl Alarms {
    /// The minutes of event time after which a window of so many minutes is quiet.
    #[must_use]
    pub fn quiet_of(&self, window: u32) -> u32 {
        self.quiet.unwrap_or(2 * window)
    }

    pub(crate) fn parse(spec: Option<&AlarmsSpec>, problems: &mut Problems) -> Self {
        let Some(spec) = spec else { return Self::default() };
        let quiet = spec.quiet.as_deref();
        let count = spec.min_count.unwrap_or(1);
        if !(1..=MAX_MIN_COUNT).contains(&count) {
            problems.add(
                "spec.alarms.minCount",
                format!("{count} is out of range: 1 to {MAX_MIN_COUNT} is allowed"),
            );
        }
        Self {
            quiet: quiet.and_then(|text| problems.ok("spec.alarms.quiet", parse_quiet(text))),
            gaps: spec.gaps.unwrap_or_default(),
            min_count: u64::try_from(count).unwrap_or(1),
        }
    }
}
