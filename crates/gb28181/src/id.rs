//! Identifiers of devices, channels and platforms (GB/T 28181-2016 Annex D, 2022 Annex E).
//!
//! Twenty digits: eight for the place, two for the trade, three for the type, one for the network,
//! six for the serial. Devices are given other ones by hand; what is not 20 digits is refused,
//! what the digits say is not checked.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Digits of an identifier.
const LENGTH: usize = 20;

/// An identifier of 20 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; LENGTH]);

/// What an identifier says of its bearer (digits 11 to 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A recorder (111), or another device with channels up to 130: encoders, NVRs (118).
    Recorder(u16),
    /// A camera (131 or 132).
    Camera,
    /// An alarm input (134) or output (135).
    Alarm,
    /// Other parts of a device (133, 136–199).
    Part(u16),
    /// A platform: signalling (200) and its servers (up to 214).
    Platform(u16),
    /// A group of channels: business (215) or virtual (216).
    Group(u16),
    /// Any other.
    Other(u16),
}

impl Id {
    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits were let in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The domain that it belongs to: the first ten digits.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.as_str().get(..10).unwrap_or_default()
    }

    /// What it says of its bearer.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let digits = self.as_str().get(10..13).unwrap_or_default();
        match digits.parse().unwrap_or_default() {
            kind @ 111..=130 => Kind::Recorder(kind),
            131 | 132 => Kind::Camera,
            134 | 135 => Kind::Alarm,
            kind @ (133 | 136..=199) => Kind::Part(kind),
            kind @ 200..=214 => Kind::Platform(kind),
            kind @ (215 | 216) => Kind::Group(kind),
            kind => Kind::Other(kind),
        }
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let digits = <[u8; LENGTH]>::try_from(text.as_bytes()).ok();
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_digit));
        // What a peer sent is repeated in part only.
        digits.map(Self).ok_or_else(|| Error::Id(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_say_what_they_are() {
        let kind = |text: &str| text.parse::<Id>().unwrap().kind();
        assert_eq!(kind("34020000001320000001"), Kind::Camera);
        assert_eq!(kind("34020000001180000001"), Kind::Recorder(118));
        assert_eq!(kind("34020000002000000001"), Kind::Platform(200));
        assert_eq!(kind("34020000002160000001"), Kind::Group(216));
        assert_eq!(kind("34020000001340000001"), Kind::Alarm);
        assert_eq!(kind("34020000001370000001"), Kind::Part(137));
        assert_eq!(kind("34020000000000000001"), Kind::Other(0));
        let id: Id = " 34020000001320000001\n".parse().unwrap();
        assert_eq!((id.domain(), id.to_string().len()), ("3402000000", 20));
    }

    #[test]
    fn what_is_not_twenty_digits_is_refused() {
        for text in ["", "3402000000132000000", "340200000013200000012", "3402000000132000000a"] {
            assert_eq!(text.parse::<Id>(), Err(Error::Id(text.to_owned())));
        }
        let Err(Error::Id(told)) = "中".repeat(1000).parse::<Id>() else { panic!() };
        assert_eq!(told.chars().count(), 40);
    }
}
