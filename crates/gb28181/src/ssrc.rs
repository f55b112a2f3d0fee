//! SSRCs as a platform gives them out (GB/T 28181-2016 Annex F.1): ten digits, of which the first
//! tells live from playback, the next five are the fourth to eighth of the domain, and the last
//! four are a serial.

use std::fmt;

/// A synchronisation source in its two forms: ten digits in a description, 32 bits in RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl Ssrc {
    /// Reads the digits of a `y=` line. Devices leave zeros in front away.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok().map(Self)).flatten()
    }
}

/// The ten digits.
impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// Gives out SSRCs of a domain.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Digits 4 to 8 of the domain.
    domain: u32,
    next: u32,
}

impl Numbers {
    /// Numbers of a domain, beginning with this serial.
    #[must_use]
    pub fn new(domain: &str, serial: u32) -> Self {
        let digits = domain.get(3..8).and_then(|digits| digits.parse().ok());
        Self { domain: digits.unwrap_or_default(), next: serial % SERIALS }
    }

    /// The next number that `is_used` does not know; `None` if all are taken.
    pub fn next(&mut self, playback: bool, is_used: impl Fn(Ssrc) -> bool) -> Option<Ssrc> {
        for _ in 0..SERIALS {
            let serial = self.next;
            self.next = (self.next + 1) % SERIALS;
            let ssrc = Ssrc(u32::from(playback) * 1_000_000_000 + self.domain * SERIALS + serial);
            // Zero means "none" to devices and media servers alike.
            if ssrc.0 != 0 && !is_used(ssrc) {
                return Some(ssrc);
            }
        }
        None
    }
}

/// How many serials four digits make.
const SERIALS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_made_of_kind_domain_and_serial() {
        let mut numbers = Numbers::new("3402000000", 1);
        assert_eq!(numbers.next(false, |_| false).unwrap().to_string(), "0200000001");
        assert_eq!(numbers.next(true, |_| false).unwrap().to_string(), "1200000002");
        let taken = Ssrc(200_000_003);
        assert_eq!(numbers.next(false, |ssrc| ssrc == taken), Some(Ssrc(200_000_004)));
        assert_eq!(numbers.next(false, |_| true), None);
        let mut last = Numbers::new("3409999999", 9999);
        assert_eq!(last.next(false, |_| false).unwrap().to_string(), "0999999999");
        assert_eq!(last.next(false, |_| false).unwrap().to_string(), "0999990000");
        assert_eq!(Numbers::new("", 0).next(false, |_| false), Some(Ssrc(1)));
    }

    #[test]
    fn digits_are_read_as_devices_write_them() {
        assert_eq!(Ssrc::parse("0200000001"), Some(Ssrc(200_000_001)));
        assert_eq!(Ssrc::parse(" 200000001 "), Some(Ssrc(200_000_001)));
        assert_eq!(Ssrc::parse("9999999999"), None);
        assert_eq!(Ssrc::parse("+1"), None);
        assert_eq!(Ssrc::parse(""), None);
    }
}
