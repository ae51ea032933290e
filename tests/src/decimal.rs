//! Decimals the long way: digits as at school, nothing rounded before the last place asked for.

/// Units of a price or a time in one: 10⁹.
pub(crate) const ONE: i128 = 1_000_000_000;

/// A JSON number's text in units of 10⁻⁹, half-even; `None` where it has more than 20 digits before the point.
pub fn parse(text: &str) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
    if digits.iter().all(|digit| *digit == 0) {
        return Some(0);
    }
    let leading = i128::try_from(digits.iter().take_while(|digit| **digit == 0).count()).ok()?;
    // An exponent too long for the type is as good as one of 10³⁰ with its sign.
    let vast = if exponent.starts_with('-') { -(10_i128.pow(30)) } else { 10_i128.pow(30) };
    let exponent = exponent.parse::<i128>().unwrap_or(vast);
    // The point's place among the digits: the value is 0.d₀d₁d₂… · 10^point.
    let point = i128::try_from(whole.len()).ok()? + exponent;
    if point - leading > 20 {
        return None;
    }
    if point < -10 {
        return Some(0);
    }
    let place = |i: i128| usize::try_from(i).ok().and_then(|i| digits.get(i)).copied().unwrap_or(0);
    let cut = point + 9; // the first digit that is rounded away
    let kept = (0..cut.max(0)).fold(0_i128, |sum, i| sum * 10 + i128::from(place(i)));
    let rest = (cut.max(0)..).take_while(|i| usize::try_from(*i).is_ok_and(|i| i < digits.len()));
    let rest: Vec<u8> = if cut < 0 { vec![0, 1] } else { rest.map(place).collect() };
    let up = match rest.split_first() {
        Some((5, tail)) if tail.iter().all(|digit| *digit == 0) => kept % 2 == 1,
        Some((first, _)) => *first >= 5,
        None => false,
    };
    let size = kept + i128::from(up);
    Some(if negative { -size } else { size })
}

/// `numerator / denominator` as the shortest decimal of at most `places` places, half-even.
pub fn ratio(numerator: i128, denominator: i128, places: usize) -> String {
    let negative = (numerator < 0) != (denominator < 0);
    let (numerator, denominator) = (numerator.abs(), denominator.abs());
    let mut digits: Vec<i128> = vec![numerator / denominator];
    let mut rest = numerator % denominator;
    for _ in 0..places {
        digits.push(rest * 10 / denominator);
        rest = rest * 10 % denominator;
    }
    let odd = digits.last().is_some_and(|digit| digit % 2 == 1);
    if rest * 2 > denominator || (rest * 2 == denominator && odd) {
        for (i, digit) in digits.iter_mut().enumerate().rev() {
            *digit += 1;
            if i == 0 || *digit < 10 {
                break;
            }
            *digit = 0;
        }
    }
    let fraction: String = digits[1..].iter().map(ToString::to_string).collect();
    let text = format!("{}.{fraction}", digits[0]);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if negative && text != "0" { format!("-{text}") } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_read_half_even_at_the_ninth_place() {
        for (text, units) in [
            ("512.34", Some(512_340_000_000)),
            ("-0", Some(0)),
            ("1e3", Some(1_000 * ONE)),
            ("1.5E-9", Some(2)),
            ("0.0000000005", Some(0)),
            ("0.0000000015", Some(2)),
            ("0.00000000050001", Some(1)),
            ("-2.5e-9", Some(-2)),
            ("0.0000000006", Some(1)),
            ("0.05e-8", Some(0)),
            ("0.00000000009", Some(0)),
            ("9e9", Some(9_000_000_000 * ONE)),
            ("1e400", None),
            ("1e-400", Some(0)),
            ("1e99999999999999999999999999999999999999999999", None),
            ("1e-99999999999999999999999999999999999999999999", Some(0)),
            ("0e99999999999999999999999999999999999999999999", Some(0)),
            ("0.001e3", Some(ONE)),
        ] {
            assert_eq!(parse(text), units, "{text}");
        }
    }

    #[test]
    fn a_ratio_is_written_half_even_and_no_longer_than_needed() {
        assert_eq!(ratio(1, 3, 9), "0.333333333");
        assert_eq!(ratio(-2, 3, 9), "-0.666666667");
        assert_eq!(ratio(512_300, 1_000, 9), "512.3");
        assert_eq!(ratio(5, 1, 9), "5");
        assert_eq!(ratio(1, 2, 0), "0");
        assert_eq!(ratio(3, 2, 0), "2");
        assert_eq!(ratio(-1, 20_000, 3), "0");
        assert_eq!(ratio(99_999, 10, 0), "10000");
    }
}
