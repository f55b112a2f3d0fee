//! An endless programme in virtual time, as an encoder would send it over RTMP or into an FLV
//! file: tag bodies in order of decoding time (FLV 10.1 §E.4).

use bytes::{BufMut, Bytes, BytesMut};
use media::FrameKind;

use crate::h264::{Picture, Sequence};
use crate::{aac, metadata};

/// A synthetic live programme.
#[derive(Debug, Clone, Default)]
pub struct Programme {
    /// The picture, if there is one.
    pub video: Option<Video>,
    /// The sound, if there is any.
    pub audio: Option<Audio>,
    /// The time of the first frame in milliseconds.
    pub start: u64,
}

/// How the picture is coded.
#[derive(Debug, Clone)]
pub struct Video {
    /// Width in pixels; even.
    pub width: u32,
    /// Height in pixels; even.
    pub height: u32,
    /// Frames per `rate.1` seconds.
    pub rate: (u32, u32),
    /// Frames from one key frame to the next.
    pub gop: u32,
    /// B frames after each P frame in decoding order; they are presented before it.
    pub b_frames: u32,
    /// Size to which key frames are filled up, in bytes.
    pub key_bytes: usize,
    /// Size to which other frames are filled up, in bytes.
    pub delta_bytes: usize,
    /// Whether each frame carries a [`crate::stamp`].
    pub stamped: bool,
}

/// How the sound is coded: AAC-LC, silence.
#[derive(Debug, Clone)]
pub struct Audio {
    /// One of AAC's sample rates.
    pub sample_rate: u32,
    /// One or two.
    pub channels: u8,
    /// Size to which frames are filled up, in bytes.
    pub frame_bytes: usize,
}

/// The FLV tag type, which is also the RTMP message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TagKind {
    /// Sound.
    Audio = 8,
    /// Picture.
    Video = 9,
    /// `onMetaData`.
    Script = 18,
}

/// One tag: a configuration, a frame or the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The tag's type.
    pub kind: TagKind,
    /// What the body means to a viewer.
    pub frame: FrameKind,
    /// Decoding time in milliseconds; the wire carries its lowest 32 bits.
    pub time: u64,
    /// The tag body, with the FLV payload header.
    pub body: Bytes,
}

impl Programme {
    /// The usual live stream: 25 frames per second, a key frame every two seconds, stereo sound,
    /// all in all about `bits` per second.
    #[must_use]
    pub fn live(bits: u32) -> Self {
        let audio = Audio { frame_bytes: 171, ..Audio::default() }; // 64 kbit/s
        let video = Video::default().with_bitrate(bits.saturating_sub(64_000));
        Self { video: Some(video), audio: Some(audio), start: 0 }
    }

    /// `onMetaData` and the sequence headers, at the time of the first frame.
    #[must_use]
    pub fn config(&self) -> Vec<Item> {
        let mut values = Vec::new();
        let mut headers = Vec::new();
        if let Some(video) = &self.video {
            let (frames, seconds) = video.rate;
            values.extend([
                ("width", f64::from(video.width)),
                ("height", f64::from(video.height)),
                ("framerate", f64::from(frames) / f64::from(seconds)),
                ("videocodecid", 7.0),
            ]);
            let mut body = BytesMut::from(&[0x17, 0, 0, 0, 0][..]);
            body.put_slice(&video.sequence().avcc());
            headers.push((TagKind::Video, FrameKind::Config, body.freeze()));
        }
        if let Some(audio) = &self.audio {
            values.extend([
                ("audiosamplerate", f64::from(audio.sample_rate)),
                ("audiochannels", f64::from(audio.channels)),
                ("audiocodecid", 10.0),
            ]);
            let config = aac::config(audio.sample_rate, audio.channels);
            headers.push((TagKind::Audio, FrameKind::Config, audio.body(0, &config)));
        }
        let script = (TagKind::Script, FrameKind::Data, metadata::on_meta_data(&values));
        let items = std::iter::once(script).chain(headers);
        items.map(|(kind, frame, body)| Item { kind, frame, time: self.start, body }).collect()
    }

    /// All frames from the first one on: an iterator without end, unless the programme has
    /// neither picture nor sound.
    #[must_use]
    pub fn items(&self) -> Items {
        let sound = self.audio.as_ref().map(|audio| {
            let silence = aac::silence(audio.channels, audio.frame_bytes);
            (audio.sample_rate, audio.body(1, &silence))
        });
        Items { video: self.video.clone(), sound, start: self.start, pictures: 0, sounds: 0 }
    }
}

impl Video {
    /// Fills the frames up to `bits` per second, with key frames five times the size of others.
    #[must_use]
    pub fn with_bitrate(mut self, bits: u32) -> Self {
        let (frames, seconds) = (u64::from(self.rate.0), u64::from(self.rate.1));
        let gop = u64::from(self.gop);
        let gop_bytes = u64::from(bits) / 8 * seconds * gop / frames.max(1);
        let share = usize::try_from(gop_bytes / (gop + 4)).unwrap_or(0);
        self.delta_bytes = share;
        self.key_bytes = 5 * share;
        self
    }

    fn sequence(&self) -> Sequence {
        Sequence {
            width: self.width,
            height: self.height,
            rate: self.rate,
            reorders: self.b_frames > 0,
        }
    }

    /// The frame that is number `index` in decoding order, and by how many frames its
    /// presentation follows its decoding.
    fn picture(&self, index: u64) -> (Picture, u64) {
        let length = u64::from(self.gop.max(1));
        let run = u64::from(self.b_frames) + 1;
        let delay = u64::from(self.b_frames > 0);
        let place = index % length;
        let Some(after_key) = place.checked_sub(1) else {
            return (Picture::Key { gop: index / length }, delay);
        };
        // A run is one P frame and the B frames before it; the last of a GOP may be shorter.
        let (run_index, in_run) = (after_key / run, after_key % run);
        let first = run_index * run;
        if in_run == 0 {
            let display = first + run.min(length - 1 - first);
            (Picture::P { number: run_index + 1, display }, display + delay - place)
        } else {
            let display = first + in_run;
            (Picture::B { number: run_index + 2, display }, display + delay - place)
        }
    }

    fn millis(&self, frames: u64) -> u64 {
        scale(frames, 1000 * u64::from(self.rate.1), u64::from(self.rate.0))
    }
}

impl Default for Video {
    /// 64 × 48 pixels, 25 frames per second, a key frame every two seconds, as small as can be.
    fn default() -> Self {
        Self {
            width: 64,
            height: 48,
            rate: (25, 1),
            gop: 50,
            b_frames: 0,
            key_bytes: 0,
            delta_bytes: 0,
            stamped: true,
        }
    }
}

impl Audio {
    fn body(&self, packet_type: u8, payload: &[u8]) -> Bytes {
        let mut body = BytesMut::with_capacity(2 + payload.len());
        // AAC is always announced as 44.1 kHz, 16 bit, stereo (FLV 10.1 §E.4.2.1).
        body.put_slice(&[0xAF, packet_type]);
        body.put_slice(payload);
        body.freeze()
    }
}

impl Default for Audio {
    /// 48 kHz stereo, as small as can be.
    fn default() -> Self {
        Self { sample_rate: 48_000, channels: 2, frame_bytes: 0 }
    }
}

impl Item {
    /// Whether a viewer may begin with it.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.frame == FrameKind::Key
    }

    /// The whole FLV tag with the previous-tag-size field that follows it.
    #[must_use]
    pub fn flv_tag(&self) -> Bytes {
        let size = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        let [.., b2, b1, b0] = size.to_be_bytes();
        let [.., t3, t2, t1, t0] = self.time.to_be_bytes();
        let mut out = BytesMut::with_capacity(self.body.len() + 15);
        out.put_slice(&[self.kind as u8, b2, b1, b0, t2, t1, t0, t3, 0, 0, 0]);
        out.put_slice(&self.body);
        out.put_u32(size.saturating_add(11));
        out.freeze()
    }
}

/// The frames of a [`Programme`], without end, in order of decoding time.
#[derive(Debug, Clone)]
pub struct Items {
    video: Option<Video>,
    /// The sample rate, and the body that all audio frames share.
    sound: Option<(u32, Bytes)>,
    start: u64,
    pictures: u64,
    sounds: u64,
}

impl Items {
    /// Goes to the first video frame at or after `time` that is a key frame, and to the audio
    /// beside it; costs the same however far that is.
    pub fn seek(&mut self, time: u64) {
        let mut from = time.saturating_sub(self.start);
        if let Some(video) = &self.video {
            let gop = u64::from(video.gop.max(1));
            let frames = from.saturating_mul(u64::from(video.rate.0));
            let frames = frames.div_ceil(1000 * u64::from(video.rate.1));
            self.pictures = frames.div_ceil(gop) * gop;
            from = video.millis(self.pictures);
        }
        if let Some((rate, _)) = self.sound {
            let samples = from.saturating_mul(u64::from(rate)) / 1000;
            self.sounds = samples.div_ceil(aac::FRAME_SAMPLES);
        }
    }

    /// The time of the next item, in milliseconds.
    #[must_use]
    pub fn next_time(&self) -> Option<u64> {
        let (video, audio) = self.due();
        video.into_iter().chain(audio).min()
    }

    /// The next item with `mark` in its stamp, if it is a video frame of a stamped programme.
    pub fn next_marked(&mut self, mark: u64) -> Option<Item> {
        match self.due() {
            (Some(video), audio) if audio.is_none_or(|audio| video <= audio) => {
                self.picture(video, mark)
            }
            (_, Some(time)) => {
                self.sounds += 1;
                let body = self.sound.as_ref()?.1.clone();
                Some(Item { kind: TagKind::Audio, frame: FrameKind::Audio, time, body })
            }
            _ => None,
        }
    }

    /// When the next frame of each kind is due.
    fn due(&self) -> (Option<u64>, Option<u64>) {
        let video = self.video.as_ref().map(|video| self.start + video.millis(self.pictures));
        let audio = self.sound.as_ref().map(|&(rate, _)| {
            self.start + scale(self.sounds, 1000 * aac::FRAME_SAMPLES, u64::from(rate))
        });
        (video, audio)
    }

    fn picture(&mut self, time: u64, mark: u64) -> Option<Item> {
        let video = self.video.as_ref()?;
        let (picture, ahead) = video.picture(self.pictures);
        // Rounded as a difference of two rounded times, as encoders do it.
        let composition = video.millis(self.pictures + ahead) - video.millis(self.pictures);
        self.pictures += 1;
        let (frame, head, bytes) = match picture {
            Picture::Key { .. } => (FrameKind::Key, 0x17, video.key_bytes),
            Picture::P { .. } | Picture::B { .. } => (FrameKind::Delta, 0x27, video.delta_bytes),
        };
        let unit = video.sequence().access_unit(picture, video.stamped.then_some(mark), bytes);
        let [.., c2, c1, c0] = composition.to_be_bytes();
        let mut body = BytesMut::with_capacity(5 + unit.len());
        body.put_slice(&[head, 1, c2, c1, c0]);
        body.put_slice(&unit);
        Some(Item { kind: TagKind::Video, frame, time, body: body.freeze() })
    }
}

impl Iterator for Items {
    type Item = Item;

    /// The next item; its mark is its time in microseconds.
    fn next(&mut self) -> Option<Item> {
        let mark = self.next_time()?.saturating_mul(1000);
        self.next_marked(mark)
    }
}

/// `count × numerator ÷ denominator`, rounded to the nearest, without overflow.
fn scale(count: u64, numerator: u64, denominator: u64) -> u64 {
    let denominator = u128::from(denominator.max(1));
    let exact = u128::from(count) * u128::from(numerator) + denominator / 2;
    u64::try_from(exact / denominator).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp;

    fn composition(item: &Item) -> u32 {
        u32::from_be_bytes([0, item.body[2], item.body[3], item.body[4]])
    }

    #[test]
    fn frames_come_in_order_of_decoding_time() {
        let programme = Programme::live(1_000_000);
        let mut last = 0;
        let (mut bytes, mut keys, mut audio) = (0, 0, 0);
        for item in programme.items().take_while(|item| item.time < 60_000) {
            assert!(item.time >= last);
            last = item.time;
            bytes += item.body.len();
            keys += usize::from(item.is_key());
            audio += usize::from(item.kind == TagKind::Audio);
            if item.kind == TagKind::Video {
                assert_eq!(stamp::find(&item.body), Some(item.time * 1000));
            }
        }
        assert_eq!((keys, audio), (30, 2813));
        assert!((7_400_000..7_600_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn presentation_times_are_a_reordering_of_decoding_times() {
        for (gop, b_frames) in [(10, 2), (9, 2), (50, 3), (2, 1), (1, 2)] {
            let video = Video { gop, b_frames, ..Video::default() };
            let programme = Programme { video: Some(video), ..Programme::default() };
            let frames: Vec<Item> = programme.items().take(100).collect();
            let mut shown: Vec<u64> =
                frames.iter().map(|f| f.time + u64::from(composition(f))).collect();
            shown.sort_unstable();
            let whole_gops = 100 - 100 % usize::try_from(gop).unwrap();
            let due: Vec<u64> = (0..100).map(|n| (n + 1) * 40).collect();
            assert_eq!(shown[..whole_gops], due[..whole_gops], "gop {gop}, {b_frames} B frames");
        }
    }

    #[test]
    fn seeking_gives_what_waiting_gives() {
        let mut programme = Programme::live(300_000);
        programme.start = 0xFFFF_FF00;
        let mut seeking = programme.items();
        seeking.seek(programme.start + 8_500);
        let waiting = programme.items().skip_while(|item| item.time < programme.start + 10_000);
        for (sought, waited) in seeking.zip(waiting).take(100) {
            assert_eq!(sought, waited);
        }
    }

    #[test]
    fn a_day_costs_nothing() {
        let mut items = Programme::live(1_000_000).items();
        items.seek(24 * 3_600_000);
        let first = items.next().unwrap();
        assert!(first.is_key());
        assert_eq!(first.time, 24 * 3_600_000);
    }

    #[test]
    fn configuration_precedes_and_names_the_codecs() {
        let config = Programme::live(1_000_000).config();
        let kinds: Vec<TagKind> = config.iter().map(|item| item.kind).collect();
        assert_eq!(kinds, [TagKind::Script, TagKind::Video, TagKind::Audio]);
        assert!(config[1].body.starts_with(&[0x17, 0, 0, 0, 0, 1, 77]));
        assert_eq!(config[2].body[..], [0xAF, 0, 0x11, 0x90]);
    }
}
