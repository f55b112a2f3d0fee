//! Pictures that somebody who has just begun cannot decode.

use media::FrameKind;

/// How far somebody has come in the pictures of a stream's first video track: a publisher in its
/// own, a viewer since it joined or skipped.
///
/// H.265 §8.1.3: decoders skip the pictures that follow the key frame with which they begin, and
/// refer to what was before it. Decoders of hardware and browsers do not all know when they begin,
/// so those pictures are left out. They follow the key frame at once: the first other picture ends
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The key frame to begin with is still to come.
    Ahead,
    /// It was the last picture, but for those that are left out.
    AtKey,
    /// What follows refers to pictures that are there.
    Past,
}

impl Entry {
    /// Comes to the next picture; whether it is of use.
    pub(crate) fn admits(&mut self, kind: FrameKind) -> bool {
        *self = match (*self, kind) {
            (Self::Past, _) => return true,
            (Self::Ahead | Self::AtKey, FrameKind::Leading) => return false,
            (Self::Ahead, FrameKind::Key) => Self::AtKey,
            (Self::AtKey, FrameKind::Key | FrameKind::Delta) => Self::Past,
            (same, _) => same,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FrameKind::{Config, Delta, Key, Leading};

    /// The places of those that are left out.
    fn left_out(kinds: &[FrameKind]) -> Vec<usize> {
        let mut entry = Entry::Ahead;
        (0..).zip(kinds).filter(|(_, kind)| !entry.admits(**kind)).map(|(place, _)| place).collect()
    }

    #[test]
    fn what_leads_the_first_key_frame_is_left_out() {
        assert_eq!(left_out(&[Key, Leading, Config, Leading, Delta, Key, Leading]), [1, 3]);
        assert_eq!(left_out(&[Delta, Leading, Delta, Key, Leading, Delta, Leading]), [1, 4]);
        // The second key frame's refer to the first one.
        assert_eq!(left_out(&[Key, Key, Leading]), []);
    }
}
