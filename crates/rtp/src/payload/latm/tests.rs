//! Elements as they can be written, and what is made of them.

use media::aac;
use proptest::prelude::*;
use proptest::sample::Index;

use super::config::config_length;
use super::*;
use crate::payload::Depacketizer as _;
use crate::payload::tests::{
    anything, damaged, depacketize, losses, lossy, packet, read_anything, ready, rest, unit,
};

/// Puts bit fields together.
#[derive(Default, Clone)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: usize, count: usize) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.put(byte.into(), 8));
    }

    fn put_value(&mut self, value: usize) {
        let bytes = (1..4).find(|bytes| value >> (8 * bytes) == 0).unwrap_or(4);
        self.put(bytes - 1, 2);
        self.put(value, 8 * bytes);
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, at| byte << 1 | u8::from(bits.get(at) == Some(&true)))
        };
        self.0.chunks(8).map(byte).collect()
    }
}

/// A way of writing elements.
#[derive(Debug, Clone)]
struct Stream {
    sized: bool,
    /// With its length in bits.
    config: (Vec<u8>, usize),
    sub_frames: usize,
    other_data: Option<usize>,
    checksum: bool,
}

/// AAC-LC, 48 kHz, stereo.
const LC: [u8; 2] = [0x11, 0x90];

impl Stream {
    fn new(sized: bool, sub_frames: usize) -> Self {
        let config = (LC.to_vec(), 16);
        Self { sized, config, sub_frames, other_data: None, checksum: false }
    }

    fn mux(&self, bits: &mut Bits) {
        bits.put(self.sized.into(), 1);
        if self.sized {
            bits.put(0, 1); // audioMuxVersionA
            bits.put_value(0x1FF);
        }
        bits.put(1, 1);
        bits.put(self.sub_frames - 1, 6);
        bits.put(0, 7);
        let (config, length) = &self.config;
        if self.sized {
            bits.put_value(*length);
        }
        let mut config_bits = Bits::default();
        config_bits.put_bytes(config);
        bits.0.extend(&config_bits.0[..*length]);
        bits.put(0xFF, 3 + 8);
        bits.put(self.other_data.is_some().into(), 1);
        match self.other_data {
            Some(length) if self.sized => bits.put_value(length),
            Some(length) => {
                bits.put(1 << 8 | length >> 8, 9);
                bits.put(length & 0xFF, 9);
            }
            None => {}
        }
        bits.put(self.checksum.into(), 1);
        if self.checksum {
            bits.put(0xAA, 8);
        }
    }

    fn config(&self) -> Vec<u8> {
        Bits(self.config_bits()).bytes()
    }

    fn config_bits(&self) -> Vec<bool> {
        let mut bits = Bits::default();
        self.mux(&mut bits);
        bits.0
    }

    /// An element; with `Some(true)` it brings the configuration, with `Some(false)` it
    /// refers to the one before.
    fn element(&self, frames: &[Vec<u8>], in_band: Option<bool>) -> Vec<u8> {
        let mut bits = Bits::default();
        if let Some(new) = in_band {
            bits.put((!new).into(), 1);
            if new {
                self.mux(&mut bits);
            }
        }
        for frame in frames {
            (0..frame.len() / 255).for_each(|_| bits.put(255, 8));
            bits.put(frame.len() % 255, 8);
            bits.put_bytes(frame);
        }
        (0..self.other_data.unwrap_or(0)).for_each(|_| bits.put(0, 1));
        bits.bytes()
    }

    fn depacketizer(&self, in_band: bool) -> Depacketizer {
        let config = self.config();
        Depacketizer::new(Some(&config).filter(|_| !in_band).map(|c| &c[..]), in_band, 48_000)
            .unwrap()
    }
}

fn packets(timestamp: u32, element: &[u8], max: usize) -> Vec<Packet> {
    let mut list: Vec<_> = element.chunks(max).map(|part| packet(timestamp, false, part)).collect();
    list.last_mut().unwrap().marker = true;
    list
}

#[test]
fn usual_configurations() {
    for (mux, rate, channels, profile) in [
        ([0x40, 0, 0x26, 0x20, 0x3F, 0xC0, 0], 24_000, 2, 2),
        ([0x40, 0, 0x26, 0x10, 0x3F, 0xC0, 0], 24_000, 1, 2),
        ([0x40, 0, 0x56, 0x23, 0x10, 0x1F, 0xE0], 24_000, 2, 5),
        ([0x40, 0x01, 0xD6, 0x13, 0x10, 0x1F, 0xE0], 24_000, 1, 29),
    ] {
        let config = audio_specific_config(&mux).unwrap();
        let config = aac::Config::parse(&config).unwrap();
        let read = (config.sample_rate, config.channels, config.profile());
        assert_eq!(read, (rate, channels, profile), "{mux:x?}");
    }
}

/// Other ways of announcing than [`LC`].
#[test]
fn any_configuration_is_cut_out() {
    let lc = aac::Config::new(2, 24_000, 2).unwrap();
    let sbr = aac::Extension { sample_rate: 48_000, parametric_stereo: false, hierarchical: false };
    let ps = aac::Extension { parametric_stereo: true, ..sbr };
    let escaped = aac::Extension { sample_rate: 47_999, ..sbr };
    let leading = aac::Extension { hierarchical: true, ..ps };
    let mut list: Vec<aac::Config> = [None, Some(sbr), Some(ps), Some(escaped), Some(leading)]
        .map(|extension| aac::Config { extension, ..lc })
        .to_vec();
    list.push(aac::Config { object_type: 23, frame_length: 480, ..lc });
    list.push(aac::Config { object_type: 20, sample_rate: 12_345, ..lc });
    list.push(aac::Config { object_type: 22, extension: Some(leading), ..lc });
    for config in list {
        let bytes = config.to_bytes().unwrap();
        let length = config_length(BitReader::new(&bytes)).unwrap();
        assert!((8 * bytes.len() - 7..=8 * bytes.len()).contains(&length), "{config:?}");
        for sized in [false, true] {
            let stream = Stream { config: (bytes.to_vec(), length), ..Stream::new(sized, 1) };
            let read = audio_specific_config(&stream.config()).unwrap();
            assert_eq!(aac::Config::parse(&read), Ok(config), "{sized}");
            assert_eq!(read, bytes);
        }
    }
}

/// ISO/IEC 14496-3 §4.4.1.1: the comment of a program config element is aligned to the bytes
/// of the configuration, not to those around it.
#[test]
fn a_program_config_element_is_cut_out() {
    let mut bits = Bits::default();
    bits.put(2 << 4 | 3, 9);
    bits.put(0, 4 + 3); // channelConfiguration, flags
    bits.put(1 << 4 | 3, 10);
    for (value, count) in [(2, 4), (0, 4), (1, 4), (1, 2), (0, 3), (0, 4), (0, 3)] {
        bits.put(value, count);
    }
    bits.put(0, 3 * 5 + 4); // three channel elements, one for low frequencies
    bits.put(0, bits.0.len().next_multiple_of(8) - bits.0.len());
    bits.put_bytes(b"\x05hello");
    let (bytes, length) = (bits.bytes(), bits.0.len());
    let stream = Stream { config: (bytes.clone(), length), ..Stream::new(false, 1) };
    assert_eq!(audio_specific_config(&stream.config()).unwrap(), bytes);
}

#[test]
fn what_is_not_read_is_refused() {
    for (mux, what) in [
        (&[0xC0][..], "audioMuxVersionA"),
        (&[0x00], "allStreamsSameTimeFraming"),
        (&[0x40, 0x10], "numProgram"),
        (&[0x40, 0x02], "numLayer"),
        (&[0x40, 0x00, 0x26, 0x20, 0x40], "frameLengthType"),
        (&[0x40, 0x00, 0x86, 0x20, 0x40], "audioObjectType"),
    ] {
        let error = audio_specific_config(mux).unwrap_err();
        assert!(matches!(error, Error::Invalid { what: w, .. } if w == what), "{error}");
    }
    assert!(Depacketizer::new(None, false, 48_000).is_err());
    assert!(Depacketizer::new(Some(&[0]), false, 48_000).is_err());
    assert!(Depacketizer::new(Some(&[0]), true, 48_000).is_ok());
}

#[test]
fn a_description_may_end_too_early() {
    // As GStreamer 1.22 writes it: AAC-LC, 44.1 kHz, mono, and an extension that says no SBR.
    let mux = [0x40, 0x00, 0x24, 0x10, 0xAD, 0xCA, 0x00];
    let config = audio_specific_config(&mux).unwrap();
    assert_eq!(config[..], [0x12, 0x08, 0x56, 0xE5, 0x00]);
}

#[test]
fn the_configuration_is_told_once() {
    let stream = Stream::new(false, 1);
    let mut depacketizer = stream.depacketizer(false);
    assert_eq!(depacketizer.take_config().as_deref(), Some(&LC[..]));
    assert_eq!(depacketizer.take_config(), None);
    let mut in_band = stream.depacketizer(true);
    assert_eq!(in_band.take_config(), None);
    let other = Stream { config: (vec![0x11, 0x88], 16), ..stream.clone() };
    for (stream, new) in [(&stream, true), (&stream, false), (&other, true)] {
        for _ in 0..2 {
            let element = stream.element(&[b"frame".to_vec()], Some(true));
            in_band.push(&packet(0, true, &element), false).unwrap();
            assert_eq!(in_band.poll(), Some(unit(0, b"frame", false)));
        }
        assert_eq!(in_band.take_config().is_some(), new);
    }
}

#[test]
fn elements_wait_for_their_configuration() {
    let stream = Stream::new(true, 1);
    let mut depacketizer = stream.depacketizer(true);
    for (new, expected) in [(false, None), (true, Some(7)), (false, Some(7))] {
        let element = stream.element(&[b"frame".to_vec()], Some(new));
        depacketizer.push(&packet(7, true, &element), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), expected);
    }
}

#[test]
fn sub_frames_follow_each_other() {
    let stream = Stream::new(false, 3);
    let frames = [b"one".to_vec(), Vec::new(), b"three".to_vec()];
    let list = [packet(u32::MAX, true, &stream.element(&frames, None))];
    let units = depacketize(&mut stream.depacketizer(false), &list);
    assert_eq!(units, [unit(u32::MAX, b"one", false), unit(2047, b"three", false)]);
    // On another clock than that of the samples.
    let mut slow = Depacketizer::new(Some(&stream.config()), false, 90_000).unwrap();
    assert_eq!(depacketize(&mut slow, &list)[1].timestamp, 3839);
}

#[test]
fn more_frames_than_announced_are_taken() {
    let stream = Stream::new(false, 1);
    let payload = stream.element(&[b"one".to_vec(), b"two".to_vec()], None);
    let padded = [&payload[..], &[0, 0, 9]].concat();
    let units = depacketize(&mut stream.depacketizer(false), &[packet(0, true, &padded)]);
    assert_eq!(units, [unit(0, b"one", false), unit(1024, b"two", false)]);
}

#[test]
fn the_marker_is_not_needed() {
    let stream = Stream::new(false, 1);
    let payload = stream.element(&[vec![1; 300]], None);
    let mut depacketizer = stream.depacketizer(false);
    for n in 0..3 {
        depacketizer.push(&packet(n, false, &payload[..200]), false).unwrap();
        assert_eq!(depacketizer.poll(), None);
        depacketizer.push(&packet(n, false, &payload[200..]), false).unwrap();
        assert_eq!(depacketizer.poll(), Some(unit(n, &[1; 300], false)));
    }
}

#[test]
fn what_is_cut_short_is_torn() {
    let stream = Stream::new(false, 2);
    let payload = stream.element(&[b"one".to_vec(), vec![1; 90]], None);
    let expected = [unit(0, b"one", false), unit(1024, &[1; 45], true)];
    let mut depacketizer = stream.depacketizer(false);
    assert_eq!(depacketize(&mut depacketizer, &[packet(0, true, &payload[..50])]), expected);
    // The end is lost, and a part in the middle.
    let mut depacketizer = stream.depacketizer(false);
    depacketizer.push(&packet(0, false, &payload[..50]), false).unwrap();
    depacketizer.push(&packet(0, false, &payload[60..80]), true).unwrap();
    depacketizer.push(&packet(0, true, &payload[80..]), false).unwrap();
    let units = ready(&mut depacketizer);
    assert_eq!(units, expected);
    let whole = [packet(5, true, &payload)];
    assert_eq!(depacketize(&mut depacketizer, &whole).len(), 2);
}

#[test]
fn elements_have_a_limit() {
    let stream = Stream::new(false, 2);
    let element = stream.element(&[vec![0; 250_000], vec![0; 250_000]], None);
    let mut depacketizer = stream.depacketizer(false);
    for (number, part) in element.chunks(64 << 10).take(6).enumerate() {
        let pushed = depacketizer.push(&packet(0, false, part), false);
        assert_eq!(pushed.is_err(), number == 4);
    }
    assert!(depacketizer.partial.is_none());
}

fn streams() -> impl Strategy<Value = Stream> {
    let other_data = proptest::option::of(0usize..500);
    (any::<bool>(), 1usize..5, other_data, any::<bool>()).prop_map(
        |(sized, sub_frames, other_data, checksum)| Stream {
            other_data,
            checksum,
            ..Stream::new(sized, sub_frames)
        },
    )
}

/// Frames that nobody takes for the beginning of an element that fits into a packet.
fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let frame = proptest::collection::vec(200u8..255, 1..600);
    proptest::collection::vec(frame, 1..20)
}

/// All whole elements, with what is to come out of them.
fn sent(
    stream: &Stream,
    frames: &[Vec<u8>],
    in_band: bool,
    max: usize,
) -> (Vec<Packet>, Vec<Unit>) {
    let (mut list, mut units) = (Vec::new(), Vec::new());
    for (n, frames) in (0u32..).zip(frames.chunks_exact(stream.sub_frames)) {
        let timestamp = n * 100_000;
        // Every other one brings the configuration.
        let element = stream.element(frames, in_band.then_some(n % 2 == 0));
        list.extend(packets(timestamp, &element, max));
        let times = (0..).map(|n| timestamp + n * 1024);
        units.extend(times.zip(frames).map(|(time, data)| unit(time, data, false)));
    }
    (list, units)
}

#[test]
fn what_is_announced_is_bounded() {
    let data = vec![0xFF; 60_000];
    let mut depacketizer = Stream::new(false, 1).depacketizer(false);
    assert!(depacketizer.push(&packet(0, false, &data), false).is_err());
    let config = Stream { config: (vec![0; 5_000], 40_000), ..Stream::new(true, 1) }.config();
    assert!(audio_specific_config(&config).is_err());
    let mut zeros = Bits(Stream { other_data: Some(0), ..Stream::new(false, 1) }.config_bits());
    // In place of the last of them, and the flag of the checksum.
    zeros.0.truncate(zeros.0.len() - 10);
    (0..5_000).for_each(|_| zeros.put(1 << 8, 9));
    zeros.put(0, 20);
    assert!(audio_specific_config(&zeros.bytes()).is_err());
}

/// Each byte of an element is looked at once, not with every packet that follows.
#[test]
fn elements_in_many_pieces_are_read_once() {
    let frames = [vec![0; 130_000], vec![0; 120_000]];
    for in_band in [None, Some(true)] {
        let stream = Stream::new(false, 2);
        let element = stream.element(&frames, in_band);
        let mut depacketizer = stream.depacketizer(in_band.is_some());
        for packet in packets(0, &element, 1) {
            depacketizer.push(&packet, false).unwrap();
        }
        let lengths: Vec<_> = rest(&mut depacketizer).iter().map(|unit| unit.data.len()).collect();
        assert_eq!(lengths, [130_000, 120_000]);
    }
    let mut depacketizer = Stream::new(false, 1).depacketizer(false);
    for _ in 0..4 {
        let _ = depacketizer.push(&packet(0, false, &[0xFF; 60_000]), false);
    }
    for _ in 0..200_000 {
        let _ = depacketizer.push(&packet(0, false, &[0xFF]), false);
    }
}

proptest! {
    #[test]
    fn any_frames_come_back(
        stream in streams(),
        frames in frames(),
        in_band: bool,
        max in 1usize..2000,
    ) {
        let (list, units) = sent(&stream, &frames, in_band, max);
        prop_assert_eq!(depacketize(&mut stream.depacketizer(in_band), &list), units);
    }

    /// With configurations in band, frames are shifted, and may look like anything.
    #[test]
    fn what_is_not_torn_is_whole(
        stream in streams(),
        frames in frames(),
        max in 64usize..100,
        kept in losses(),
    ) {
        let stream = Stream { other_data: None, ..stream };
        let (list, units) = sent(&stream, &frames, false, max);
        let mut depacketizer = stream.depacketizer(false);
        let (mut got, _) = lossy(&mut depacketizer, &list, &kept);
        got.extend(rest(&mut depacketizer));
        for got in got.iter().filter(|got| !got.torn) {
            prop_assert!(units.contains(got), "{got:?}");
        }
    }

    #[test]
    fn damage_does_no_harm(
        stream in streams(),
        frames in frames(),
        in_band: bool,
        harm: Vec<(Index, Index, u8)>,
        lost: bool,
    ) {
        let (list, _) = sent(&stream, &frames, in_band, 100);
        prop_assume!(!list.is_empty());
        let list = damaged(list, &harm);
        let mut depacketizer = stream.depacketizer(in_band);
        for packet in &list {
            let _ = depacketizer.push(packet, lost);
        }
        depacketizer.flush();
    }

    #[test]
    fn whatever_comes_is_read_or_refused(config: Vec<u8>, in_band: bool, packets in anything()) {
        let _ = audio_specific_config(&config);
        let _ = audio_specific_config(&[&[0x40, 0x00], &config[..]].concat());
        let mut depacketizer = Stream::new(false, 2).depacketizer(in_band);
        read_anything(&mut depacketizer, &packets);
        depacketizer.take_config();
    }
}
