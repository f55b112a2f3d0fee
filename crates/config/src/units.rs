//! Durations and sizes as people write them: `"1m30s"`, `"350ms"`, `"8MiB"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration of whole milliseconds, at most [`Span::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(usize);

/// Why a text is neither a duration nor a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// It does not begin with a number.
    #[error("{0:?} does not begin with a number")]
    Number(String),
    /// Its unit is not one of those that are understood.
    #[error("{found:?} is not a unit; use {allowed}")]
    Unit {
        /// What stands where the unit should.
        found: String,
        /// The units that are understood.
        allowed: &'static str,
    },
    /// It has digits after the point that its unit cannot express.
    #[error("{0:?} is not a whole number of milliseconds or bytes")]
    Fraction(String),
    /// It is too large.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

impl Span {
    /// A year. Far above every sensible setting, far below what overflows the system's clock.
    pub const MAX: Self = Self(366 * 24 * 3_600_000);

    /// `millis` milliseconds, but no more than [`Span::MAX`].
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        if millis > Self::MAX.0 { Self::MAX } else { Self(millis) }
    }

    /// `secs` seconds.
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        // Widening; `From` is not available in constants.
        Self::from_millis(secs as u64 * 1000)
    }

    /// As the standard library counts.
    #[must_use]
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Size {
    /// `count` bytes.
    #[must_use]
    pub const fn from_bytes(count: usize) -> Self {
        Self(count)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.get()
    }
}

/// Milliseconds per unit, largest first.
const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Bytes per unit. Binary units come first, largest first: sizes are printed in these.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

impl FromStr for Span {
    type Err = UnitError;

    /// Numbers with units, added up; a number alone counts milliseconds.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let too_large = || UnitError::TooLarge(text.to_owned());
        let mut rest = text.trim();
        let mut total = 0_u64;
        loop {
            let (part, after) = quantity(rest, &TIMES, "d, h, m, s or ms", ("ms", 1))?;
            total = total.checked_add(part).ok_or_else(too_large)?;
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
        }
        if total > Self::MAX.0 { Err(too_large()) } else { Ok(Self(total)) }
    }
}

impl FromStr for Size {
    type Err = UnitError;

    /// A number with a unit; a number alone counts bytes.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let allowed = "KiB, MiB, GiB, KB, MB, GB or B";
        let (bytes, rest) = quantity(text.trim(), &SIZES, allowed, ("B", 1))?;
        if !rest.is_empty() {
            return Err(UnitError::Unit { found: rest.to_owned(), allowed });
        }
        let bytes = usize::try_from(bytes).map_err(|_| UnitError::TooLarge(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

/// A number and its unit from the beginning of `text`, multiplied, and what follows.
fn quantity<'a>(
    text: &'a str,
    units: &[(&str, u64)],
    allowed: &'static str,
    bare: (&str, u64),
) -> Result<(u64, &'a str), UnitError> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, rest) = text.split_at(text.find(|c| !is_number(c)).unwrap_or(text.len()));
    if number.is_empty() {
        return Err(UnitError::Number(text.to_owned()));
    }
    let rest = rest.trim_start();
    let (unit, rest) = rest.split_at(rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()));
    let (_, scale) = if unit.is_empty() {
        bare
    } else {
        *units
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(|| UnitError::Unit { found: unit.to_owned(), allowed })?
    };
    Ok((scaled(number, scale)?, rest))
}

/// A decimal number times `scale`, exactly.
fn scaled(number: &str, scale: u64) -> Result<u64, UnitError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(UnitError::Number(number.to_owned()));
    }
    let too_large = || UnitError::TooLarge(number.to_owned());
    let uneven = || UnitError::Fraction(number.to_owned());
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let fraction = fraction.trim_end_matches('0');
    let places = u32::try_from(fraction.len()).map_err(|_| uneven())?;
    let part = match (places, 10_u64.checked_pow(places)) {
        (0, _) => 0,
        (_, Some(one)) => {
            let tenths = fraction.parse::<u64>().map_err(|_| uneven())?;
            let product = tenths.checked_mul(scale).ok_or_else(uneven)?;
            if !product.is_multiple_of(one) {
                return Err(uneven());
            }
            product / one
        }
        (_, None) => return Err(uneven()),
    };
    whole.checked_mul(scale).and_then(|w| w.checked_add(part)).ok_or_else(too_large)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, scale) in TIMES {
            if rest >= scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Lossless: no target has addresses beyond 64 bits.
        let bytes = self.0 as u64;
        for (unit, scale) in SIZES.into_iter().take(3) {
            if bytes >= scale && bytes.is_multiple_of(scale) {
                return write!(f, "{}{unit}", bytes / scale);
            }
        }
        write!(f, "{bytes}B")
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Quantity {
            expected: "a duration such as \"10s\" or \"350ms\"",
            read: Self::from_str,
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Quantity { expected: "a size such as \"8MiB\"", read: Self::from_str })
    }
}

/// Reads a quantity from text, or from a number in its smallest unit.
struct Quantity<T> {
    expected: &'static str,
    read: fn(&str) -> Result<T, UnitError>,
}

impl<T> de::Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("350ms", 350),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("1 h 2 m", 3_720_000),
            ("0", 0),
            ("250", 250),
            ("1d", 86_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Span::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", r#""" does not begin with a number"#),
            ("soon", r#""soon" does not begin with a number"#),
            ("-1s", r#""-1s" does not begin with a number"#),
            ("1.s", r#""1." does not begin with a number"#),
            ("10sec", r#""sec" is not a unit; use d, h, m, s or ms"#),
            ("0.5ms", r#""0.5" is not a whole number of milliseconds or bytes"#),
            ("400d", r#""400d" is too large"#),
            ("99999999999999999999s", r#""99999999999999999999" is too large"#),
        ] {
            assert_eq!(text.parse::<Span>().unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in
            [("8MiB", 8 << 20), ("64 kib", 64 << 10), ("1.5KB", 1500), ("60000", 60_000)]
        {
            assert_eq!(text.parse(), Ok(Size::from_bytes(bytes)), "{text}");
        }
        let refusal = "8M".parse::<Size>().unwrap_err().to_string();
        assert_eq!(refusal, r#""M" is not a unit; use KiB, MiB, GiB, KB, MB, GB or B"#);
        assert!("1KiB1KiB".parse::<Size>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis in 0..=Span::MAX.0, bytes: usize) {
            let span = Span::from_millis(millis);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            let size = Size::from_bytes(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, number in "[0-9.]{0,30}[a-zA-Z]{0,3}") {
            let _ = (text.parse::<Span>(), text.parse::<Size>());
            let _ = (number.parse::<Span>(), number.parse::<Size>());
        }
    }
}
