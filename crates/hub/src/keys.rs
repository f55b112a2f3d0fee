//! How far apart a stream's key frames are.

/// Intervals that are remembered.
const REMEMBERED: usize = 8;

/// Watches the key frames of the first video track.
#[derive(Debug, Default)]
pub(crate) struct KeyFrames {
    newest_ms: Option<i64>,
    /// Frames since the newest one, itself included.
    frames: u32,
    /// Frames of the last whole GOP.
    gop_frames: u32,
    /// The newest first.
    intervals_ms: Vec<i64>,
}

impl KeyFrames {
    /// A picture came.
    pub(crate) fn count(&mut self, is_key: bool, dts_ms: i64) {
        if is_key {
            if let Some(before) = self.newest_ms.replace(dts_ms) {
                self.gop_frames = self.frames;
                self.intervals_ms.truncate(REMEMBERED - 1);
                self.intervals_ms.insert(0, dts_ms - before);
            }
            self.frames = 0;
        }
        self.frames = self.frames.saturating_add(1);
    }

    /// Frames of the last whole GOP; of the unfinished one if there is no other.
    pub(crate) fn gop_frames(&self) -> u32 {
        if self.gop_frames == 0 { self.frames } else { self.gop_frames }
    }

    /// Times between key frames, the newest first.
    pub(crate) fn intervals_ms(&self) -> &[i64] {
        &self.intervals_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_last_key_frames() {
        let mut keys = KeyFrames::default();
        for frame in 0..100i64 {
            keys.count(frame % 10 == 0, frame * 40);
        }
        assert_eq!(keys.gop_frames(), 10);
        assert_eq!(keys.intervals_ms(), [400; REMEMBERED]);
        let mut short = KeyFrames::default();
        short.count(true, 0);
        short.count(false, 40);
        assert_eq!((short.gop_frames(), short.intervals_ms()), (2, &[][..]));
    }
}
