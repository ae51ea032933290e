//! Prices and times as providers write them: the text of a JSON value in, exact texts of numbers out.

use serde_json::value::RawValue;
use stockwatch_crds::TimeFormat;

/// No time of a provider has so many digits.
const MAX_DIGITS: usize = 40;
/// Nor so many of them before its point, or zeros behind it.
const MAX_POINT: i32 = 40;
/// A nanosecond has so many places.
const PLACES: usize = 9;

/// Why there is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTime {
    /// Nothing is there, or zero.
    Absent,
    /// Something else is there.
    Unreadable,
}

/// Returns the text of a number, or of a text, which may be one; `None` of nothing.
pub(super) fn text(value: Option<&RawValue>) -> Option<String> {
    let json = value?.get();
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok()?,
        b'n' | b'{' | b'[' => return None,
        _ => json.to_owned(),
    };
    (!text.is_empty()).then_some(text)
}

/// Returns a price as it is written; `None` of nothing and of zero. Whether it is a number is the caller's to judge.
pub(super) fn price(value: Option<&RawValue>) -> Option<String> {
    let is_zero = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        mantissa.bytes().all(|b| !matches!(b, b'1'..=b'9'))
    };
    text(value).filter(|text| !is_zero(text))
}

/// Returns a time as a JSON number of seconds since 1970, exact to the nanosecond.
pub(super) fn time(value: Option<&RawValue>, format: TimeFormat) -> Result<String, NoTime> {
    let text = text(value).ok_or(NoTime::Absent)?;
    let seconds = match format {
        TimeFormat::Seconds => shifted(&text, 0),
        TimeFormat::Millis => shifted(&text, 3),
        TimeFormat::Nanos => shifted(&text, 9),
        TimeFormat::Rfc3339 => date(&text),
    };
    let seconds = seconds.ok_or(NoTime::Unreadable)?;
    if seconds == "0" { Err(NoTime::Absent) } else { Ok(seconds) }
}

/// `text` · 10^−`places` as a plain decimal; what is less than a nanosecond is cut off.
fn shifted(text: &str, places: i32) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (text, 0_i32),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits before the point.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_sub(places)?;
    if !(-MAX_POINT..=MAX_POINT).contains(&point) {
        return None;
    }
    let zeros = "0".repeat(usize::try_from(-point).unwrap_or(0));
    let padded = format!("{zeros}{digits:0<width$}", width = usize::try_from(point).unwrap_or(0));
    let (whole, fraction) = padded.split_at(usize::try_from(point).unwrap_or(0));
    Some(decimal(whole, fraction))
}

/// A date and a time of day with an offset.
fn date(text: &str) -> Option<String> {
    let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    let digits = format!("{nanos:0>width$}", width = PLACES + 1);
    let (whole, fraction) = digits.split_at(digits.len() - PLACES);
    // Before 1970 there were no quotes.
    (nanos >= 0).then(|| decimal(whole, fraction))
}

/// Without zeros that say nothing.
fn decimal(whole: &str, fraction: &str) -> String {
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = &fraction[..fraction.len().min(PLACES)];
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use TimeFormat::{Millis, Nanos, Rfc3339, Seconds};
    use proptest::prelude::*;
    use serde_json::Value;
    use stockwatch_core::parse_nanos;

    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_price_is_carried_as_it_stands() {
        for (json, expected) in [
            ("12.50", Some("12.50")),
            ("\"12.50000\"", Some("12.50000")),
            ("-37.63", Some("-37.63")),
            ("1e-9", Some("1e-9")),
            ("0", None),
            ("-0.00e7", None),
            ("\"0.000\"", None),
            ("null", None),
            ("\"\"", None),
            ("[12.5]", None),
        ] {
            assert_eq!(price(Some(&raw(json))).as_deref(), expected, "{json}");
        }
        assert_eq!(price(None), None);
    }

    #[test]
    fn a_time_is_exact_in_each_format_and_as_number_or_text() {
        for (format, json, expected) in [
            (Seconds, "1790000000", "1790000000"),
            (Seconds, "1790000000.8277369", "1790000000.8277369"),
            (Seconds, "\"1790000000.50\"", "1790000000.5"),
            (Seconds, "1.79e9", "1790000000"),
            (Millis, "1790000000000", "1790000000"),
            (Millis, "\"1790000000123.456789\"", "1790000000.123456789"),
            (Millis, "1790000000123.4567899", "1790000000.123456789"),
            (Millis, "7", "0.007"),
            (Nanos, "1790000000086175744", "1790000000.086175744"),
            (Nanos, "1.790000000086175744e18", "1790000000.086175744"),
            (Rfc3339, "\"2026-09-21T14:13:20.086175744Z\"", "1790000000.086175744"),
            (Rfc3339, "\"2026-09-21T10:13:20.511254-04:00\"", "1790000000.511254"),
            (Rfc3339, "\"2026-09-21T14:13:20Z\"", "1790000000"),
        ] {
            assert_eq!(time(Some(&raw(json)), format).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn nothing_at_a_time_is_no_time_and_something_else_is_said() {
        for json in ["null", "\"\"", "0", "0.0", "\"0\"", "{}"] {
            assert_eq!(time(Some(&raw(json)), Seconds), Err(NoTime::Absent), "{json}");
        }
        assert_eq!(time(None, Rfc3339), Err(NoTime::Absent));
        for (format, json) in [
            (Seconds, "\"2026-09-21\""),
            (Seconds, "-1"),
            (Seconds, "true"),
            (Seconds, "1e99"),
            (Millis, "1e-2000000000"),
            (Nanos, "\"1_000\""),
            (Rfc3339, "1790000000"),
            (Rfc3339, "\"2026-09-21T14:13:20\""),
            (Rfc3339, "\"1969-12-31T23:59:59Z\""),
        ] {
            assert_eq!(time(Some(&raw(json)), format), Err(NoTime::Unreadable), "{json}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_shift_is_a_division_by_a_power_of_ten(whole in 1_u64..1_000_000_000_000, fraction in "[0-9]{0,6}", exponent in -2_i32..3) {
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{whole}{point}{fraction}e{exponent}");
            let nanos = parse_nanos(shifted(&text, 3).unwrap().as_bytes()).unwrap();
            let micros = parse_nanos(format!("{whole}{point}{fraction}").as_bytes()).unwrap();
            let scaled = micros * 10_i128.pow(u32::try_from(exponent + 2).unwrap());
            prop_assert_eq!(nanos, scaled / 100_000);
        }

        #[test]
        fn no_text_makes_a_time_panic(text in ".{0,60}") {
            for format in [Seconds, Millis, Nanos, Rfc3339] {
                let _ = time(Some(&raw(&Value::from(text.clone()).to_string())), format);
            }
        }
    }
}
