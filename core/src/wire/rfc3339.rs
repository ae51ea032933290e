//! Event times as RFC 3339 has them.

use std::fmt::Write as _;

use crate::NANO;

const DAY: i64 = 86_400;

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

/// Year, month and day of the proleptic Gregorian calendar, so many days after 1970-01-01.
///
/// Counts in years that begin in March, in which a leap day is the last, and in eras of 400 years.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let shifted = days + 719_468; // since 0000-03-01
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
}
