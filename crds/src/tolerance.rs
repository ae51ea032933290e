//! Tolerances: by how much an average may move before it is an alarm.

use crate::problem::shown;

/// Digits before the point, and after it.
const DIGITS: usize = 9;
/// 10⁹: bounds are integers of 10⁻⁹, as prices are.
const SCALE: u64 = 1_000_000_000;

/// By how much an average may move: as written, and as computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerance {
    /// As written, such as `0.05%`; alarms repeat it.
    pub text: String,
    /// What it says, exactly.
    pub bound: Bound,
}

/// An exact bound; a change is an alarm only if it is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// In 10⁻⁹ of the quote's currency; below 10¹⁸.
    Absolute(u64),
    /// In 10⁻⁹ of one percent of the previous average; below 10¹⁸.
    Relative(u64),
}

/// A text that is no tolerance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a tolerance: write a quoted decimal of at most 9 digits before and 9 after the point, \
     such as \"0.25\" (in the quote's currency) or \"0.05%\" (of the previous average)",
    shown(.text)
)]
pub struct ToleranceError {
    text: String,
}

impl Default for Tolerance {
    /// `0`: any change is an alarm.
    fn default() -> Self {
        Self { text: "0".to_owned(), bound: Bound::Absolute(0) }
    }
}

impl Tolerance {
    /// Parses `^[0-9]{1,9}([.][0-9]{1,9})?%?$`, exactly.
    pub fn parse(text: &str) -> Result<Self, ToleranceError> {
        let error = || ToleranceError { text: text.to_owned() };
        let (number, relative) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
        let value = parse_decimal(number, DIGITS).ok_or_else(error)?;
        let bound = if relative { Bound::Relative(value) } else { Bound::Absolute(value) };
        Ok(Self { text: text.to_owned(), bound })
    }
}

/// The 10⁻⁹ of a decimal of 1 to `most` (at most 9) digits before the point, and none or 1 to 9 after it.
pub(crate) fn parse_decimal(text: &str, most: usize) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let fraction = match fraction {
        Some(fraction) if is_digits(fraction, DIGITS) => fraction,
        Some(_) => return None,
        None => "",
    };
    if !is_digits(whole, most) {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<DIGITS$}").parse().ok()?;
    Some(whole.parse::<u64>().ok()? * SCALE + nanos)
}

fn is_digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}
