//! Decimal text to `f32`, correctly rounded, for the inner loop of the readers.

/// Powers of ten that an `f64` holds exactly.
const TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The number that `text` begins with, and how many bytes it takes; `None` where it begins with
/// none. Words (`inf`, `nan`) are no numbers here. Too large a number gives infinity.
#[inline]
pub fn prefix(text: &[u8]) -> Option<(f32, usize)> {
    let mut at = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let whole = at;
    let mut mantissa = 0_u64;
    while let Some(digit) = digit(text, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digits = at - whole;
    let mut exponent = 0_i64;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let fraction = at;
        while let Some(eight) = eight_digits(text, at) {
            mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight);
            at += 8;
        }
        while let Some(digit) = digit(text, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        digits += at - fraction;
        exponent = fraction as i64 - at as i64;
    }
    if digits == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = text.get(at + 1);
        let mut end = at + 1 + usize::from(matches!(sign, Some(b'-' | b'+')));
        let first = end;
        let mut power = 0_i64;
        while let Some(digit) = digit(text, end) {
            power = (power * 10 + digit as i64).min(1_000_000);
            end += 1;
        }
        if end == first {
            return None;
        }
        exponent += if sign == Some(&b'-') { -power } else { power };
        at = end;
    }
    let value = if digits <= 19 { scaled(mantissa, exponent) } else { None };
    match value {
        Some(value) => Some((if negative { -value } else { value }, at)),
        None => {
            let number = text.get(..at).and_then(|number| std::str::from_utf8(number).ok());
            number.and_then(|number| number.parse().ok()).map(|value| (value, at))
        }
    }
}

/// `mantissa` x 10^`exponent`, rounded to `f32` by way of one `f64` operation: its error is below
/// two units in the last place of an `f64`, which cannot change the nearest `f32` unless the
/// value lies that close to the middle between two of them. `None` in that rare case, and where
/// the power is not exact or the result may be subnormal or too large.
#[inline]
fn scaled(mantissa: u64, exponent: i64) -> Option<f32> {
    if mantissa == 0 {
        return Some(0.0);
    }
    let power = *TEN.get(exponent.unsigned_abs() as usize)?;
    let value = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
    let in_range = (f64::from(f32::MIN_POSITIVE)..f64::from(f32::MAX)).contains(&value);
    // an f64 has 29 bits more than an f32
    let beyond = value.to_bits() & 0x1FFF_FFFF;
    let near_middle = beyond.abs_diff(0x1000_0000) <= 4;
    (in_range && !near_middle).then_some(value as f32)
}

#[inline]
fn digit(text: &[u8], at: usize) -> Option<u64> {
    let digit = text.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

/// Eight digits at once in one register (Lemire, "Number parsing at a gigabyte per second").
#[inline]
fn eight_digits(text: &[u8], at: usize) -> Option<u64> {
    let bytes: [u8; 8] = text.get(at..at + 8)?.try_into().ok()?;
    let value = u64::from_le_bytes(bytes);
    let high = value & 0xF0F0_F0F0_F0F0_F0F0;
    let above_nine = value.wrapping_add(0x0606_0606_0606_0606) & 0xF0F0_F0F0_F0F0_F0F0;
    if high | (above_nine >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let value = value.wrapping_sub(0x3030_3030_3030_3030);
    let value = value.wrapping_mul(10).wrapping_add(value >> 8);
    let mask = 0x0000_00FF_0000_00FF;
    let low = (value & mask).wrapping_mul(0x000F_4240_0000_0064);
    let high = ((value >> 16) & mask).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::prefix;

    /// The standard library is the reference.
    fn check(text: &str) {
        let expected: f32 = text.parse().unwrap();
        let (value, length) = prefix(text.as_bytes()).unwrap();
        assert_eq!((value.to_bits(), length), (expected.to_bits(), text.len()), "{text}");
    }

    #[test]
    fn numbers_as_people_write_them() {
        for text in "0 -0 1 -1.5 +2 .5 5. 1e3 1E-3 1e+30 123456789012345678901234567890 0.1 3.4028235e38 \
                     1e-45 1e-46 1e39 -1e400 1e-400 0.000000000000000000000000000001 16777217 8388608.5 \
                     0.49671415301123276 1.1754943e-38 00000000000000000000012.5"
            .split_ascii_whitespace()
        {
            check(text);
        }
    }

    #[test]
    fn no_numbers() {
        for text in ["", "-", "+", ".", "e5", "-e", "abc", "nan", "inf", "1e", "1e+", "--1", "\u{fc}"] {
            assert_eq!(prefix(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn stops_where_the_number_ends() {
        assert_eq!(prefix(b"12.25,7"), Some((12.25, 5)));
        assert_eq!(prefix(b"12.12345678901,"), Some((12.123457, 14)));
        assert_eq!(prefix(b"1-2"), Some((1.0, 1)));
    }

    proptest! {
        #[test]
        fn every_f32_comes_back(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            check(&format!("{value}"));
            check(&format!("{value:e}"));
            check(&format!("{:.5}", value));
        }

        #[test]
        fn every_f64_is_rounded_as_std_rounds(value in proptest::num::f64::NORMAL, places in 0_usize..20) {
            check(&format!("{value:e}"));
            prop_assume!(value.abs() < 1e30);
            check(&format!("{value:.places$}"));
        }

        /// Exactly the middle between two neighbours, and next to it.
        #[test]
        fn ties_go_to_even(bits in 0x0080_0000_u32..0x7f00_0000) {
            let (low, high) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            let middle = (f64::from(low) + f64::from(high)) / 2.0;
            for value in [middle, middle.next_up(), middle.next_down()] {
                check(&format!("{value:e}"));
            }
        }

        #[test]
        fn never_panics(text: Vec<u8>) {
            if let Some((_, length)) = prefix(&text) {
                prop_assert!(length <= text.len());
            }
        }
    }
}
