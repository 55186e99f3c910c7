//! Arithmetic with a 64-bit mantissa, rounded to nearest even: what an x86 `long double` does.
//!
//! wrk computes and prints its figures in that format. With plain `f64`, about one in twenty of the microsecond values
//! that it prints as milliseconds would differ in the last digit; with this, none does.

use std::cmp::Ordering;

/// A non-negative number `mantissa · 2^exponent`; the mantissa's top bit is set unless the number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    /// 0.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// The nearest number to `value · 2^exponent`; `inexact` says that the true value is a little larger.
    fn rounded(value: u128, exponent: i32, inexact: bool) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let surplus = 64 - value.leading_zeros() as i32;
        if surplus <= 0 {
            return Self { mantissa: (value as u64) << -surplus, exponent: exponent + surplus };
        }
        let kept = (value >> surplus) as u64;
        let dropped = value & ((1 << surplus) - 1);
        let half = 1u128 << (surplus - 1);
        let up = match dropped.cmp(&half) {
            Ordering::Less => false,
            Ordering::Equal => inexact || kept & 1 == 1,
            Ordering::Greater => true,
        };
        match kept.checked_add(u64::from(up)) {
            Some(mantissa) => Self { mantissa, exponent: exponent + surplus },
            None => Self { mantissa: 1 << 63, exponent: exponent + surplus + 1 },
        }
    }

    /// `self / other`; dividing by 0 gives 0, since every caller prints 0 for "nothing measured".
    pub fn divided_by(self, other: Self) -> Self {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Self::ZERO;
        }
        // Two extra bits decide the rounding, the remainder breaks ties; both mantissas are at least 2^63, so the
        // quotient of a mantissa shifted by 64 has at least 64 bits.
        let dividend = u128::from(self.mantissa) << 64;
        let divisor = u128::from(other.mantissa);
        let (quotient, remainder) = (dividend / divisor, dividend % divisor);
        // One more bit of the quotient, so that a quotient of exactly 64 bits can still be rounded.
        let twice = remainder << 1;
        let (bit, rest) = if twice >= divisor { (1, twice - divisor) } else { (0, twice) };
        Self::rounded((quotient << 1) | bit, self.exponent - other.exponent - 65, rest != 0)
    }

    /// `self · other`.
    pub fn times(self, other: Self) -> Self {
        let product = u128::from(self.mantissa) * u128::from(other.mantissa);
        Self::rounded(product, self.exponent + other.exponent, false)
    }

    /// The square root.
    pub fn sqrt(self) -> Self {
        if self.mantissa == 0 {
            return self;
        }
        // An even exponent halves exactly.
        let shift = if self.exponent % 2 == 0 { 64 } else { 63 };
        let square = u128::from(self.mantissa) << shift;
        let root = square.isqrt();
        // The root has 64 bits and would need rounding by what is left: root² ≤ square < (root + 1)².
        let up = square - root * root > root;
        Self::rounded(root + u128::from(up), (self.exponent - shift) / 2, false)
    }

    /// The nearest `f64`.
    pub fn to_f64(self) -> f64 {
        self.mantissa as f64 * 2f64.powi(self.exponent)
    }

    /// Decimal digits as C's `printf("%.*Lf")` prints them: the exact binary value, rounded to nearest even.
    pub fn to_fixed(self, decimals: u32) -> String {
        let scale = 10u64.pow(decimals);
        let scaled = u128::from(self.mantissa) * u128::from(scale);
        let digits = if self.exponent >= 0 {
            // Beyond 2^63: no figure of a report gets there; saturate rather than wrap.
            scaled.saturating_mul(1u128.checked_shl(self.exponent as u32).unwrap_or(u128::MAX))
        } else {
            shift_right_to_even(scaled, self.exponent.unsigned_abs())
        };
        let (whole, part) = (digits / u128::from(scale), digits % u128::from(scale));
        match decimals {
            0 => whole.to_string(),
            _ => format!("{whole}.{part:0width$}", width = decimals as usize),
        }
    }
}

/// `value / 2^by`, rounded to nearest, ties to even.
fn shift_right_to_even(value: u128, by: u32) -> u128 {
    if by >= u128::BITS {
        return 0;
    }
    let kept = value >> by;
    let dropped = value & ((1u128 << by) - 1);
    let half = 1u128 << (by - 1);
    kept + u128::from(dropped > half || (dropped == half && kept & 1 == 1))
}

impl From<u64> for Extended {
    fn from(value: u64) -> Self {
        Self::rounded(u128::from(value), 0, false)
    }
}

impl From<u128> for Extended {
    fn from(value: u128) -> Self {
        Self::rounded(value, 0, false)
    }
}

impl PartialOrd for Extended {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Extended {
    fn cmp(&self, other: &Self) -> Ordering {
        // Zero has the least exponent of all in effect; otherwise normalised mantissas compare by exponent first.
        match (self.mantissa, other.mantissa) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            _ => self.exponent.cmp(&other.exponent).then(self.mantissa.cmp(&other.mantissa)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(value: u64) -> Extended {
        Extended::from(value)
    }

    #[test]
    fn whole_numbers_survive() {
        for value in [0, 1, 2, 3, 849, 999_999, 1 << 62, u64::MAX] {
            assert_eq!(whole(value).to_fixed(0), value.to_string());
        }
    }

    #[test]
    fn quotients_agree_with_f64_where_f64_is_exact() {
        for (a, b, expected) in [(1, 2, 0.5), (3, 4, 0.75), (1_000_000, 8, 125_000.0), (7, 64, 0.109375)] {
            assert_eq!(whole(a).divided_by(whole(b)).to_f64(), expected);
        }
    }

    #[test]
    fn a_third_has_sixty_four_bits() {
        let third = whole(1).divided_by(whole(3));
        assert_eq!((third.mantissa, third.exponent), (0xAAAA_AAAA_AAAA_AAAB, -65));
    }

    #[test]
    fn division_by_zero_is_zero() {
        assert_eq!(whole(5).divided_by(Extended::ZERO), Extended::ZERO);
    }

    #[test]
    fn roots_of_squares_are_exact_and_others_close() {
        for value in [1, 4, 9, 1_000_000, 123_456_789u64.pow(2)] {
            let root = whole(value).sqrt();
            assert_eq!(root.times(root), whole(value));
        }
        assert!((whole(2).sqrt().to_f64() - 2f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn ties_print_to_even() {
        assert_eq!(whole(90).divided_by(whole(60)).to_fixed(0), "2");
        assert_eq!(whole(1).divided_by(whole(2)).to_fixed(0), "0");
        assert_eq!(whole(1).divided_by(whole(8)).to_fixed(2), "0.12");
    }

    #[test]
    fn order_is_numeric() {
        assert!(whole(2) < whole(3) && Extended::ZERO < whole(1) && whole(1).divided_by(whole(2)) < whole(1));
    }
}
