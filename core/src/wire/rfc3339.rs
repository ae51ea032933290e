//! Event times as RFC 3339 has them.

use std::fmt::Write as _;

use crate::NANO;
use crate::decimal::parse_nanos;

const DAY: i64 = 86_400;
/// Days in 400 years.
const ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Appends an event time (nanoseconds since 1970, not negative) in UTC, with as many decimals as it has.
pub(crate) fn push_rfc3339(out: &mut String, time: i64) {
    let (seconds, fraction) = (time.div_euclid(NANO), time.rem_euclid(NANO));
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction != 0 {
        let decimals = format!("{fraction:09}");
        let _ = write!(out, ".{}", decimals.trim_end_matches('0'));
    }
    out.push('Z');
}

/// Reads an RFC 3339 time with its offset as nanoseconds since 1970, half-even at the ninth place. `None` if it is none;
/// a leap second, which no event time has, is none either.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i128> {
    let (date, time) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes()[10], b'T' | b't' | b' ') || !time.is_ascii() {
        return None;
    }
    let [year, month, day] = fields(date, b'-', [4, 2, 2])?;
    let [hour, minute, second] = fields(time.get(..8)?, b':', [2, 2, 2])?;
    let is_day = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !is_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = &time[8..];
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
            let (digits, offset) = rest.split_at(end);
            (parse_nanos(format!("0.{digits}").as_bytes())?, offset)
        }
        None => (0, rest),
    };
    let seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second
        - offset_seconds(offset)?;
    Some(i128::from(seconds) * i128::from(NANO) + fraction)
}

/// The seconds by which a local time is ahead of UTC.
fn offset_seconds(text: &str) -> Option<i64> {
    let (sign, hours_and_minutes) = match text {
        "Z" | "z" => return Some(0),
        _ if text.starts_with('+') => (1, &text[1..]),
        _ => (-1, text.strip_prefix('-')?),
    };
    let [hours, minutes] = fields(hours_and_minutes, b':', [2, 2])?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Numbers of so many digits each, with a separator between them and nothing else.
fn fields<const N: usize>(text: &str, separator: u8, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.as_bytes().split(|byte| *byte == separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.iter().all(u8::is_ascii_digit))?;
        *number = part.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    }
    parts.next().is_none().then_some(numbers)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

/// Year, month and day of the proleptic Gregorian calendar, so many days after 1970-01-01.
///
/// Counts in years that begin in March, in which a leap day is the last, and in eras of 400 years.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH;
    let (era, of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(time: i64) -> String {
        let mut out = String::new();
        push_rfc3339(&mut out, time);
        out
    }

    #[test]
    fn times_are_written_in_utc_in_their_shortest_form() {
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(1_700_000_060 * NANO + NANO / 2), "2023-11-14T22:14:20.5Z");
        assert_eq!(written(951_782_399 * NANO + 1), "2000-02-28T23:59:59.000000001Z");
        assert_eq!(written(951_782_400 * NANO), "2000-02-29T00:00:00Z");
        assert_eq!(written(4_107_542_400 * NANO), "2100-03-01T00:00:00Z");
        assert_eq!(written(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn times_are_read_with_their_offset_half_even_at_the_ninth_place() {
        let second = i128::from(NANO);
        for (text, time) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:14:20.5Z", 1_700_000_060 * second + second / 2),
            ("2023-11-14t23:14:20+01:00", 1_700_000_060 * second),
            ("2023-11-14 16:44:20-05:30", 1_700_000_060 * second),
            ("2000-02-29T00:00:00-00:00", 951_782_400 * second),
            ("1969-12-31T23:59:59.9999999995Z", 0),
            ("1970-01-01T00:00:00.0000000005Z", 0),
            ("1970-01-01T00:00:00.0000000015Z", 2),
        ] {
            assert_eq!(parse_rfc3339(text), Some(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_of_day_is_none() {
        for text in [
            "",
            "now",
            "2023-11-14",
            "2023-11-14T22:14:20",
            "2023-11-14T22:14Z",
            "2023-11-14T22:14:60Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:14:20.Z",
            "2023-11-14T22:14:20Z ",
            "2023-11-14T22:14:20+0100",
            "2023-11-14T22:14:20+24:00",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "23-11-14T22:14:20Z",
            "2023-11-14T22:14:2éZ",
            "+023-11-14T22:14:20Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_time_that_is_written_and_read_again_is_the_same(time in 0..i64::MAX) {
            proptest::prop_assert_eq!(parse_rfc3339(&written(time)), Some(i128::from(time)));
        }
    }
}
