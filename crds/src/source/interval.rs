//! How often a source is asked.

use std::time::Duration;

use crate::duration::parse_interval;
use crate::problem::Problems;

pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
pub(super) const LEAST: Duration = Duration::from_secs(1);
pub(super) const MOST: Duration = Duration::from_secs(24 * 3600);

/// The interval as written, or the default.
pub(super) fn interval(
    text: Option<&str>,
    default: Duration,
    least: Duration,
    example: &'static str,
    path: &str,
    problems: &mut Problems,
) -> Duration {
    text.and_then(|text| problems.ok(path, parse_interval(text, least..=MOST, example))).unwrap_or(default)
}
