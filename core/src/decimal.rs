//! Decimals as integers of 10⁻⁹, read from and written to text without a float in between.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// One second in the unit of event times, and one unit of a currency in that of prices: both are 10⁻⁹.
pub const NANO: i64 = 1_000_000_000;
/// What no number in range reaches: [`parse_nanos`] saturates here.
const HUGE: i128 = 10_i128.pow(30);

/// Reads a JSON number as a multiple of 10⁻⁹, half-even at the ninth place; saturates at ±10³⁰.
///
/// `None` if `text` is not a number as JSON has it.
pub fn parse_nanos(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let mut mantissa: i128 = 0;
    let mut scale: i64 = 0; // the value is mantissa · 10^(scale − 9), once all is read
    let mut sticky = false; // a nonzero digit was left out
    let mut seen = 0;
    let mut fraction: Option<usize> = None;
    let mut at = 0;
    while let Some(&byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                seen += 1;
                if mantissa < HUGE {
                    mantissa = mantissa * 10 + i128::from(byte - b'0');
                    scale -= i64::from(fraction.is_some());
                } else {
                    sticky |= byte != b'0';
                    scale += i64::from(fraction.is_none());
                }
            }
            b'.' if fraction.is_none() && seen > 0 => fraction = Some(seen),
            b'e' | b'E' => break,
            _ => return None,
        }
        at += 1;
    }
    if seen == 0 || fraction == Some(seen) {
        return None;
    }
    if at < digits.len() {
        scale = scale.saturating_add(parse_exponent(&digits[at + 1..])?);
    }
    let magnitude = shift(mantissa, scale.saturating_add(9), sticky);
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads a JSON number of serde's as a multiple of 10⁻⁹.
pub(crate) fn deserialize_nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserialize_optional_nanos(deserializer)?.ok_or_else(|| Error::custom("null is no number"))
}

/// [`deserialize_nanos`], or `None` for `null`.
pub(crate) fn deserialize_optional_nanos<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    let number = || parse_nanos(text.as_bytes()).and_then(|nanos| i64::try_from(nanos).ok());
    match text {
        "null" => Ok(None),
        _ => number().map(Some).ok_or_else(|| Error::custom("not a number, or one out of range")),
    }
}

/// An exponent, saturating far outside of what matters.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |e, d| (e * 10 + i64::from(d - b'0')).min(1 << 40));
    Some(if negative { -value } else { value })
}

/// `mantissa · 10^places`, half-even, where `sticky` says that the mantissa is a little more than it shows.
fn shift(mantissa: i128, places: i64, sticky: bool) -> i128 {
    if mantissa == 0 {
        return 0;
    }
    let power = match u32::try_from(places.unsigned_abs()) {
        // Nearly always, and cheaper.
        Ok(p @ 0..=18) => Some(i128::from(10_i64.pow(p))),
        Ok(p) => 10_i128.checked_pow(p),
        Err(_) => None,
    };
    if places >= 0 {
        return power.and_then(|p| mantissa.checked_mul(p)).map_or(HUGE, |v| v.min(HUGE));
    }
    let Some(divisor) = power else { return 0 };
    let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
    let half = divisor / 2;
    let up = rest > half || rest == half && (sticky || quotient % 2 == 1);
    (quotient + i128::from(up)).min(HUGE)
}

/// Appends `value` · 10⁻⁹ as the shortest decimal: no trailing zeros, no bare point.
#[inline]
pub fn push_nanos(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    let one = NANO.unsigned_abs();
    push_integer(out, magnitude / one);
    push_fraction(out, magnitude % one, 9);
}

/// Appends an unsigned integer.
#[inline]
pub(crate) fn push_integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a signed integer.
pub(crate) fn push_signed(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `.` and `fraction` · 10^−places without trailing zeros; nothing for 0.
#[inline]
fn push_fraction(out: &mut Vec<u8>, fraction: u64, places: usize) {
    if fraction == 0 {
        return;
    }
    // A leading one keeps the zeros in front; its place is the point's.
    let one = 10_u64.pow(u32::try_from(places).unwrap_or(0));
    let point = out.len();
    push_integer(out, one + fraction);
    out[point] = b'.';
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Appends `numerator / denominator` with at most `places` (≤ 18) decimals, half-even, shortest form.
pub fn push_ratio(out: &mut Vec<u8>, numerator: u128, denominator: u128, places: usize) {
    let (mut whole, mut rest) = (numerator / denominator, numerator % denominator);
    let mut fraction: u64 = 0;
    let mut left = places;
    while left > 0 {
        // As many places at once as fit: one division in the usual case.
        let step = left.min((rest.leading_zeros() as usize * 77 / 256).min(18));
        let step = step.max(1);
        let power = 10_u128.pow(u32::try_from(step).unwrap_or(1));
        let Some(scaled) = rest.checked_mul(power) else { break };
        fraction =
            fraction * u64::try_from(power).unwrap_or(1) + u64::try_from(scaled / denominator).unwrap_or(0);
        rest = scaled % denominator;
        left -= step;
    }
    let odd = if places == 0 { whole % 2 == 1 } else { fraction % 2 == 1 };
    let half = denominator - rest;
    if rest > half || rest == half && odd {
        fraction += 1;
        if fraction == 10_u64.pow(u32::try_from(places).unwrap_or(0)) {
            fraction = 0;
            whole += 1;
        }
    }
    match u64::try_from(whole) {
        Ok(small) => push_integer(out, small),
        Err(_) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
    }
    push_fraction(out, fraction, places);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<i128> {
        parse_nanos(text.as_bytes())
    }

    fn nanos(value: i64) -> String {
        let mut out = Vec::new();
        push_nanos(&mut out, value);
        String::from_utf8(out).unwrap_or_default()
    }

    fn ratio(numerator: u128, denominator: u128, places: usize) -> String {
        let mut out = Vec::new();
        push_ratio(&mut out, numerator, denominator, places);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn numbers_are_read_exactly_and_rounded_half_even_at_the_ninth_place() {
        assert_eq!(parse("512.34"), Some(512_340_000_000));
        assert_eq!(parse("-0.000000001"), Some(-1));
        assert_eq!(parse("0.0000000005"), Some(0));
        assert_eq!(parse("0.0000000015"), Some(2));
        assert_eq!(parse("0.00000000050000000000000000000000000000000000001"), Some(1));
        assert_eq!(parse("1e3"), Some(1_000_000_000_000));
        assert_eq!(parse("1.5E-2"), Some(15_000_000));
        assert_eq!(parse("1e400"), Some(HUGE));
        assert_eq!(parse("-1e99999999999999999999"), Some(-HUGE));
        assert_eq!(parse("1e-400"), Some(0));
        assert_eq!(parse("0e999999"), Some(0));
        assert_eq!(parse("100000000000000000000000000000000000000000e-40"), Some(10_000_000_000));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1e", "1e+", "1.2.3", "0x10", "NaN", "1_0", "+1", "--1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_written_in_their_shortest_form() {
        assert_eq!(nanos(512_300_000_000), "512.3");
        assert_eq!(nanos(0), "0");
        assert_eq!(nanos(-1), "-0.000000001");
        assert_eq!(nanos(i64::MIN), "-9223372036.854775808");
        assert_eq!(ratio(1, 3, 9), "0.333333333");
        assert_eq!(ratio(2, 3, 15), "0.666666666666667");
        assert_eq!(ratio(1, 2, 0), "0");
        assert_eq!(ratio(3, 2, 0), "2");
        assert_eq!(ratio(999_999_999_999, 1_000_000_000_000, 9), "1");
        assert_eq!(ratio(u128::MAX >> 2, 1 << 100, 3), "67108864");
    }

    proptest::proptest! {
        #[test]
        fn a_decimal_that_is_written_and_read_again_is_the_same(value: i64) {
            proptest::prop_assert_eq!(parse(&nanos(value)), Some(i128::from(value)));
        }

        #[test]
        fn a_ratio_agrees_with_one_computed_by_long_division(n in 0..u128::MAX >> 40, d in 1..u128::MAX >> 40) {
            let mut digits = (n / d).to_string();
            let mut rest = n % d;
            let mut fraction = String::new();
            for _ in 0..15 { rest *= 10; fraction.push_str(&(rest / d).to_string()); rest %= d; }
            let up = rest * 2 > d || rest * 2 == d && fraction.ends_with(['1', '3', '5', '7', '9']);
            let value: u128 = format!("{digits}{fraction}").parse::<u128>().unwrap_or(0) + u128::from(up);
            digits = format!("{value:016}");
            let (whole, fraction) = digits.split_at(digits.len() - 15);
            let text = format!("{whole}.{fraction}");
            proptest::prop_assert_eq!(ratio(n, d, 15), text.trim_end_matches('0').trim_end_matches('.'));
        }
    }
}
