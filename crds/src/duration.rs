//! Durations as a user writes them: windows in whole minutes, intervals of sources.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::problem::shown;

/// The longest window: a day.
pub const MAX_WINDOW_MINUTES: u32 = 1440;
/// The longest quiet time that ends an episode: twice the longest window.
pub const MAX_QUIET_MINUTES: u32 = 2 * MAX_WINDOW_MINUTES;

/// A text that is no duration of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not whole minutes within bounds; `hint` names the minutes if the text means some.
    #[error(
        "{} is not a window: whole minutes from 1m to {MAX_WINDOW_MINUTES}m are allowed{}",
        shown(.text),
        .hint.as_deref().unwrap_or_default()
    )]
    Window {
        /// As written.
        text: String,
        /// `; write 5m`.
        hint: Option<String>,
    },
    /// Not whole minutes within the bounds of a quiet time.
    #[error("{} is not a quiet time: whole minutes from 0m to {MAX_QUIET_MINUTES}m are allowed, such as 15m", shown(.text))]
    Quiet {
        /// As written.
        text: String,
    },
    /// Not an interval, or out of bounds.
    #[error(
        "{} is not an interval: a whole number of ms, s or m from {least} to {most} is allowed, such as {example}",
        shown(.text)
    )]
    Interval {
        /// As written.
        text: String,
        /// The least allowed.
        least: String,
        /// The most allowed.
        most: String,
        /// What one may write.
        example: &'static str,
    },
}

/// The minutes of a window: `^[1-9][0-9]{0,3}m$`, at most 1440m.
///
/// One text for each value, so that it serves as the list's key: `05m`, `300s` and `1h` are refused with
/// the minutes to write.
pub fn parse_window(text: &str) -> Result<u32, DurationError> {
    canonical_number(text, "m", 4)
        .and_then(|minutes| u32::try_from(minutes).ok())
        .filter(|minutes| *minutes <= MAX_WINDOW_MINUTES)
        .ok_or_else(|| DurationError::Window {
            text: text.to_owned(),
            hint: meant_minutes(text).map(|minutes| format!("; write \"{minutes}m\"")),
        })
}

/// The minutes of a quiet time: `^(0|[1-9][0-9]{0,3})m$`, at most 2880m.
pub fn parse_quiet(text: &str) -> Result<u32, DurationError> {
    let minutes = if text == "0m" { Some(0) } else { canonical_number(text, "m", 4) };
    minutes
        .and_then(|minutes| u32::try_from(minutes).ok())
        .filter(|minutes| *minutes <= MAX_QUIET_MINUTES)
        .ok_or_else(|| DurationError::Quiet { text: text.to_owned() })
}

/// The interval of a source: `^[1-9][0-9]{0,7}(ms|s|m)$` within `bounds`.
pub fn parse_interval(
    text: &str,
    bounds: RangeInclusive<Duration>,
    example: &'static str,
) -> Result<Duration, DurationError> {
    let millis = [("ms", 1), ("s", 1000), ("m", 60_000)]
        .into_iter()
        .find_map(|(unit, scale)| Some(canonical_number(text, unit, 8)? * scale));
    millis.map(Duration::from_millis).filter(|interval| bounds.contains(interval)).ok_or_else(|| {
        DurationError::Interval {
            text: text.to_owned(),
            least: format!("{:?}", bounds.start()),
            most: format!("{}m", bounds.end().as_secs() / 60),
            example,
        }
    })
}

/// A number without leading zeros, of at most `digits` digits, before `unit`.
fn canonical_number(text: &str, unit: &str, digits: usize) -> Option<u64> {
    let number = text.strip_suffix(unit)?;
    let canonical = (1..=digits).contains(&number.len())
        && !number.starts_with('0')
        && number.bytes().all(|b| b.is_ascii_digit());
    if canonical { number.parse().ok() } else { None }
}

/// The whole minutes that a text such as `300s`, `1h`, `1h30m` or `5` means, if they are a legal window.
fn meant_minutes(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale = match unit.trim() {
            "s" => 1,
            "" | "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = tail;
    }
    let minutes = seconds / 60;
    (seconds.is_multiple_of(60) && (1..=u64::from(MAX_WINDOW_MINUTES)).contains(&minutes)).then_some(minutes)
}
