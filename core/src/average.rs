//! Averages as exact fractions, and whether one differs from another by more than a tolerance.

use std::cmp::Ordering;

use serde::Deserialize;
use stockwatch_crds::Bound;

use crate::NANO;

/// Where an average moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Above the previous one.
    Up,
    /// Below the previous one.
    Down,
}

/// A mean as the exact fraction `sum / count`, in 10⁻⁹ of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Average {
    /// Sum of the prices, in 10⁻⁹.
    pub sum: i128,
    /// How many they are, at least 1.
    pub count: u64,
}

impl Average {
    /// The nearest multiple of 10⁻⁹, half-even.
    #[inline]
    pub fn rounded(self) -> i64 {
        let count = i128::from(self.count);
        // Most sums fit in 64 bits, where a division is cheap.
        let (quotient, rest) = match (i64::try_from(self.sum), i64::try_from(self.count)) {
            (Ok(sum), Ok(n)) => {
                let quotient = sum.div_euclid(n);
                (i128::from(quotient), i128::from(sum - quotient * n))
            }
            _ => (self.sum.div_euclid(count), self.sum.rem_euclid(count)),
        };
        let up = match (rest * 2).cmp(&count) {
            Ordering::Less => false,
            Ordering::Equal => quotient % 2 != 0,
            Ordering::Greater => true,
        };
        i64::try_from(quotient + i128::from(up)).unwrap_or(i64::MAX) // a mean of i64 is one
    }

    /// `self − other` as numerator; the denominator is `self.count · other.count`.
    #[inline]
    pub fn minus(self, other: Self) -> i128 {
        self.sum * i128::from(other.count) - other.sum * i128::from(self.count)
    }
}

/// Whether `new` differs from `old` by **more** than `bound`, compared exactly.
///
/// Absolute: |new − old| > a. Relative: |new − old| > p·|old|; where `old` is 0, any change exceeds.
/// With new = s/n and old = t/m, both sides are multiplied by n·m (and by the bound's own denominator).
#[inline]
pub fn exceeds(new: Average, old: Average, bound: Bound) -> bool {
    let difference = new.minus(old).unsigned_abs();
    match bound {
        Bound::Absolute(a) => {
            wide_product(difference, 1) > wide_product(u128::from(new.count) * u128::from(old.count), a)
        }
        Bound::Relative(p) => {
            const PERCENT: u64 = 100 * NANO.unsigned_abs(); // p is in 10⁻⁹ of 10⁻²
            let old_times_n = old.sum.unsigned_abs() * u128::from(new.count);
            wide_product(difference, PERCENT) > wide_product(old_times_n, p)
        }
    }
}

/// A product that may not fit in 128 bits, as (high, low): comparable.
#[inline]
fn wide_product(a: u128, b: u64) -> (u128, u128) {
    // Nearly always: one instruction.
    if let Ok(a) = u64::try_from(a) {
        return (0, u128::from(a) * u128::from(b));
    }
    match a.checked_mul(u128::from(b)) {
        Some(product) => (0, product),
        None => {
            const HALF: u32 = 64;
            let low = (a & u128::from(u64::MAX)) * u128::from(b);
            let high = (a >> HALF) * u128::from(b) + (low >> HALF);
            (high >> HALF, high << HALF | low & u128::from(u64::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn average(sum: i128, count: u64) -> Average {
        Average { sum, count }
    }

    #[test]
    fn a_difference_equal_to_the_tolerance_is_no_alarm() {
        let (old, new) = (average(300, 3), average(202, 2));
        assert!(!exceeds(new, old, Bound::Absolute(1)));
        assert!(exceeds(average(203, 2), old, Bound::Absolute(1)));
        assert!(!exceeds(new, old, Bound::Relative(NANO.unsigned_abs()))); // exactly 1 %
        assert!(exceeds(new, old, Bound::Relative(NANO.unsigned_abs() - 1)));
    }

    #[test]
    fn from_an_average_of_zero_any_change_exceeds_a_relative_tolerance() {
        let whole = Bound::Relative(999_999_999_999_999_999);
        assert!(exceeds(average(1, 1), average(0, 4), whole));
        assert!(exceeds(average(-1, 1_000_000), average(0, 4), whole));
        assert!(!exceeds(average(0, 1), average(0, 4), whole));
    }

    #[test]
    fn a_fall_is_measured_against_the_magnitude_of_what_it_falls_from() {
        assert!(exceeds(average(-102, 1), average(-100, 1), Bound::Relative(NANO.unsigned_abs())));
        assert!(!exceeds(average(-101, 1), average(-100, 1), Bound::Relative(NANO.unsigned_abs())));
    }

    #[test]
    fn means_are_rounded_half_to_even() {
        assert_eq!(average(3, 2).rounded(), 2);
        assert_eq!(average(5, 2).rounded(), 2);
        assert_eq!(average(-3, 2).rounded(), -2);
        assert_eq!(average(-5, 2).rounded(), -2);
        assert_eq!(average(i128::from(i64::MAX) * 4, 4).rounded(), i64::MAX);
    }

    #[test]
    fn the_largest_values_are_compared_exactly() {
        let n = 1 << 24;
        let top = i128::from(9_000_000_000 * NANO);
        let (old, new) = (average(top * (1 << 24), n), average(top * (1 << 24) - 1, n));
        assert!(exceeds(new, old, Bound::Relative(0)));
        assert!(!exceeds(old, old, Bound::Relative(0)));
        assert!(!exceeds(average(-top * (1 << 24), n), old, Bound::Relative(200 * NANO.unsigned_abs())));
        assert!(exceeds(average(-top * (1 << 24), n), old, Bound::Relative(200 * NANO.unsigned_abs() - 1)));
    }
}
