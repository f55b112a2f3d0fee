//! Fragments in, frames out: what other servers write as CMAF segments (ISO/IEC 14496-12 §8.8,
//! ISO/IEC 23000-19).
//!
//! Read leniently: boxes that are unknown are passed over, times and sizes may come from any of the
//! places that the specification has for them. Not read: samples outside of fragments, and what is
//! encrypted (a track of `encv` or `enca` is left out like one of an unknown codec).

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use media::{
    AudioDetails, Codec, Details, Frame, FrameKind, Reader as Bits, Ticks, TimeBase, Track,
    TrackId, TrackKind, h264, h265, inspect, nal, opus,
};

use crate::codec::{OTI_AAC, OTI_MPEG1_AUDIO, OTI_MPEG2_AUDIO};

/// Tracks that are read of one section: a programme has a few.
const MAX_TRACKS: usize = 16;

/// Samples that are read of one piece: an hour of sound is less.
const MAX_SAMPLES: usize = 200_000;

/// `objectTypeIndication` of MPEG-2 AAC, main to scalable (ISO/IEC 14496-1 §7.2.6.6).
const OTI_MPEG2_AAC: [u8; 3] = [0x66, 0x67, 0x68];

/// `tfhd` (§8.8.7).
const BASE_DATA_OFFSET: u32 = 0x00_0001;
const DESCRIPTION_INDEX: u32 = 0x00_0002;
const DEFAULT_DURATION: u32 = 0x00_0008;
const DEFAULT_SIZE: u32 = 0x00_0010;
const DEFAULT_FLAGS: u32 = 0x00_0020;

/// `trun` (§8.8.8).
const DATA_OFFSET: u32 = 0x001;
const FIRST_FLAGS: u32 = 0x004;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION: u32 = 0x800;

/// A sample flag: this is no sync sample (§8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// Why fragments cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A box ends before what it must have.
    #[error("a box is damaged: {0}")]
    Damaged(#[from] media::Error),
    /// There is no `moov`.
    #[error("the initialisation section is missing, or has no track that is understood")]
    NoTracks,
    /// A sample is not where its fragment says.
    #[error("a sample lies outside of the segment")]
    Outside,
    /// Samples have more bytes than the segment: they name the same ones again.
    #[error("the samples of a segment have more bytes than it has")]
    Overlap,
    /// More samples than are read.
    #[error("a segment has more than {MAX_SAMPLES} samples")]
    TooMany,
}

/// What comes out.
#[derive(Debug, Clone)]
pub enum Item {
    /// A track, or another configuration of it; its frames follow.
    Track(Track),
    /// A frame, on its track's clock.
    Frame(Frame),
}

/// Reads the fragments of one presentation.
#[derive(Debug, Default)]
pub struct Reader {
    tracks: Vec<Input>,
}

#[derive(Debug)]
struct Input {
    /// Its number in the file.
    number: u32,
    track: Track,
    sets: ParameterSets,
    timescale: TimeBase,
    /// What is taken from the file's times: the priming before the first sample that is heard or
    /// seen.
    shift: i64,
    defaults: Defaults,
    /// Where the next sample begins, if the fragment does not say.
    next: i64,
    /// The stream has not been told of the track as it is now.
    changed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

#[derive(Debug)]
enum ParameterSets {
    None,
    H264(h264::Config),
    H265(h265::Config),
}

impl Reader {
    /// A reader that knows no tracks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether an initialisation section was read.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// Reads an initialisation section. A section with the same tracks changes nothing.
    ///
    /// # Errors
    /// [`Error`] when it has no track that is understood; the tracks so far stay.
    pub fn init(&mut self, section: &[u8]) -> Result<(), Error> {
        let moov = find(section, b"moov").ok_or(Error::NoTracks)?;
        let movie_scale = find(moov, b"mvhd").and_then(|body| timescale(body).ok());
        let mut tracks = Vec::new();
        let mut next = [0u8; 2];
        for trak in all(moov, *b"trak").take(MAX_TRACKS) {
            let Some(input) = Input::read(trak, movie_scale, &mut next) else { continue };
            tracks.push(input);
        }
        for trex in find(moov, b"mvex").into_iter().flat_map(|mvex| all(mvex, *b"trex")) {
            let mut r = Bits::new(trex);
            r.u32()?;
            let number = r.u32()?;
            r.u32()?;
            let defaults = Defaults { duration: r.u32()?, size: r.u32()?, flags: r.u32()? };
            if let Some(input) = tracks.iter_mut().find(|input| input.number == number) {
                input.defaults = defaults;
            }
        }
        if tracks.is_empty() {
            return Err(Error::NoTracks);
        }
        for input in &mut tracks {
            let known = self.tracks.iter().find(|known| known.number == input.number);
            if let Some(known) = known.filter(|known| known.track == input.track) {
                (input.changed, input.next) = (known.changed, known.next);
            }
        }
        self.tracks = tracks;
        Ok(())
    }

    /// Reads the fragments of a segment, whole, that arrived at this time. An initialisation
    /// section in it counts. What comes is in the order of decoding.
    ///
    /// # Errors
    /// [`Error`] when it is damaged.
    pub fn segment(&mut self, segment: &Bytes, arrival: Instant) -> Result<Vec<Item>, Error> {
        let mut samples = Samples { left: segment.len(), found: Vec::new() };
        for (name, span) in boxes(segment) {
            let body = || segment.get(span.body.clone()).unwrap_or_default();
            match &name {
                // Beside its siblings, since `init` looks for the box itself.
                b"moov" => self.init(segment)?,
                b"moof" => self.fragment(segment, span.start, body(), &mut samples)?,
                _ => {}
            }
        }
        if self.tracks.is_empty() {
            return Err(Error::NoTracks);
        }
        let samples = samples.found;
        let mut items = Vec::with_capacity(samples.len() + self.tracks.len());
        for input in &mut self.tracks {
            if std::mem::take(&mut input.changed) {
                items.push((i64::MIN, Item::Track(input.track.clone())));
            }
        }
        for sample in samples {
            let data = segment.slice(sample.data);
            let Some(input) = self.tracks.get_mut(sample.input) else { continue };
            let Some(frame) = input.frame(data, &sample.timing, arrival) else { continue };
            let at = frame.dts.millis();
            if std::mem::take(&mut input.changed) {
                items.push((at, Item::Track(input.track.clone())));
            }
            items.push((at, Item::Frame(frame)));
        }
        // Fragments have one track after the other.
        items.sort_by_key(|(at, _)| *at);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    /// Reads a `moof` that begins at `start` of `segment`.
    fn fragment(
        &mut self,
        segment: &[u8],
        start: usize,
        moof: &[u8],
        out: &mut Samples,
    ) -> Result<(), Error> {
        // Where data goes on that says nothing of its place: the one run after the other.
        let mut follows = None;
        for traf in all(moof, *b"traf") {
            let Some(tfhd) = find(traf, b"tfhd") else { continue };
            let mut r = Bits::new(tfhd);
            let flags = r.u32()?;
            let number = r.u32()?;
            let found = self.tracks.iter_mut().enumerate().find(|(_, t)| t.number == number);
            let Some((index, input)) = found else { continue };
            let mut base = start;
            if flags & BASE_DATA_OFFSET != 0 {
                // It counts from the start of a file of which this may be a part.
                let offset = usize::try_from(r.u64()?).unwrap_or(usize::MAX);
                base = if offset < segment.len() { offset } else { start };
            }
            if flags & DESCRIPTION_INDEX != 0 {
                r.u32()?;
            }
            let mut defaults = input.defaults;
            if flags & DEFAULT_DURATION != 0 {
                defaults.duration = r.u32()?;
            }
            if flags & DEFAULT_SIZE != 0 {
                defaults.size = r.u32()?;
            }
            if flags & DEFAULT_FLAGS != 0 {
                defaults.flags = r.u32()?;
            }
            if let Some(tfdt) = find(traf, b"tfdt") {
                let mut r = Bits::new(tfdt);
                let version = r.u32()? >> 24;
                let time = if version == 0 { u64::from(r.u32()?) } else { r.u64()? };
                input.next = i64::try_from(time).unwrap_or(i64::MAX / 2);
            }
            for trun in all(traf, *b"trun") {
                let at = follows.unwrap_or(base);
                let end = input.run(trun, base, at, &defaults, index, segment.len(), out)?;
                follows = Some(end);
            }
        }
        Ok(())
    }
}

/// What was found in a segment.
struct Samples {
    /// Bytes that further samples may have.
    left: usize,
    found: Vec<Found>,
}

/// A sample that was found.
struct Found {
    input: usize,
    data: Range<usize>,
    timing: Timing,
}

struct Timing {
    /// In the file's ticks.
    dts: i64,
    composition: i64,
    key: bool,
}

impl Input {
    /// Reads a `trak`; nothing if it is not understood.
    fn read(trak: &[u8], movie_scale: Option<TimeBase>, next: &mut [u8; 2]) -> Option<Self> {
        let number = track_number(find(trak, b"tkhd")?).ok()?;
        let mdia = find(trak, b"mdia")?;
        let timescale = timescale(find(mdia, b"mdhd")?).ok()?;
        let stsd = find(find(find(mdia, b"minf")?, b"stbl")?, b"stsd")?;
        let mut entries = boxes(stsd.get(8..)?);
        let (name, span) = entries.next()?;
        let entry = stsd.get(8..)?.get(span.body)?;
        let (codec, config, sound) = describe(name, entry)?;
        let mut details = inspect::details(codec, &config).unwrap_or_default();
        if let (Details::Unknown, Some(sound)) = (&details, sound) {
            details = Details::Audio(sound);
        }
        let kind = if sound.is_some() { TrackKind::Audio } else { TrackKind::Video };
        let sets = match codec {
            Codec::H264 => ParameterSets::H264(h264::Config::parse(&config).ok()?),
            Codec::H265 => ParameterSets::H265(h265::Config::parse(&config).ok()?),
            _ => ParameterSets::None,
        };
        let [video, audio] = next;
        let index = if kind == TrackKind::Audio { audio } else { video };
        let id = TrackId { kind, index: *index };
        *index += 1;
        let time_base = match kind {
            TrackKind::Audio => inspect::time_base(codec, &details),
            _ => TimeBase::VIDEO,
        };
        let enhanced = !matches!(codec, Codec::H264 | Codec::Aac | Codec::Mp3);
        let mut input = Self {
            number,
            track: Track { id, codec, time_base, config, color_info: None, enhanced, details },
            sets,
            timescale,
            shift: find(trak, b"edts")
                .and_then(|edts| edit(find(edts, b"elst")?, movie_scale, timescale).ok())
                .unwrap_or(0),
            defaults: Defaults::default(),
            next: 0,
            changed: true,
        };
        input.renew();
        Some(input)
    }

    /// The track as its parameter sets say: four-byte lengths, as its frames have.
    fn renew(&mut self) {
        self.track.config = match &self.sets {
            ParameterSets::None => return,
            ParameterSets::H264(sets) => sets.clone().canonical().to_bytes(),
            ParameterSets::H265(sets) => sets.clone().canonical().to_bytes(),
        };
        if let Ok(details) = inspect::details(self.track.codec, &self.track.config) {
            self.track.details = details;
        }
    }

    /// Reads a `trun`; where its data ends.
    #[expect(clippy::too_many_arguments, reason = "all of a run's surroundings")]
    fn run(
        &mut self,
        trun: &[u8],
        base: usize,
        at: usize,
        defaults: &Defaults,
        index: usize,
        length: usize,
        out: &mut Samples,
    ) -> Result<usize, Error> {
        let mut r = Bits::new(trun);
        let flags = r.u32()?;
        let count = r.u32()?;
        let mut at = at;
        if flags & DATA_OFFSET != 0 {
            let offset = i64::from(r.u32()?.cast_signed());
            let place = i64::try_from(base).unwrap_or(i64::MAX).saturating_add(offset);
            at = usize::try_from(place).map_err(|_| Error::Outside)?;
        }
        let first = if flags & FIRST_FLAGS != 0 { Some(r.u32()?) } else { None };
        for sample in 0..count {
            if out.found.len() >= MAX_SAMPLES {
                return Err(Error::TooMany);
            }
            let mut field = |flag: u32, default: u32| {
                if flags & flag != 0 { r.u32() } else { Ok(default) }
            };
            let duration = field(DURATION, defaults.duration)?;
            let size = field(SIZE, defaults.size)?;
            let usual = first.filter(|_| sample == 0).unwrap_or(defaults.flags);
            let flags_of = field(FLAGS, usual)?;
            // Signed in version 1, and small in version 0.
            let composition = field(COMPOSITION, 0)?.cast_signed();
            let size = usize::try_from(size).map_err(|_| Error::Outside)?;
            let end = at.checked_add(size).filter(|end| *end <= length).ok_or(Error::Outside)?;
            // Nothing forbids samples that share bytes, and nobody writes them; a few megabytes must
            // not become gigabytes.
            out.left = out.left.checked_sub(size).ok_or(Error::Overlap)?;
            let timing = Timing {
                dts: self.next.saturating_sub(self.shift),
                composition: composition.into(),
                key: flags_of & NON_SYNC == 0,
            };
            out.found.push(Found { input: index, data: at..end, timing });
            at = end;
            self.next = self.next.saturating_add(duration.into());
        }
        Ok(at)
    }

    /// A sample as a frame; nothing if there is nothing in it.
    fn frame(&mut self, data: Bytes, timing: &Timing, arrival: Instant) -> Option<Frame> {
        let length_size = match &self.sets {
            ParameterSets::None => nal::LENGTH_SIZE,
            ParameterSets::H264(sets) => sets.length_size(),
            ParameterSets::H265(sets) => sets.length_size(),
        };
        let sets = &mut self.sets;
        let mut merged = false;
        let merge = |unit: &[u8]| {
            merged |= match sets {
                ParameterSets::None => false,
                ParameterSets::H264(sets) => sets.merge(unit),
                ParameterSets::H265(sets) => sets.merge(unit),
            };
        };
        let canonical = inspect::canonical(self.track.codec, &data, length_size, merge);
        if merged {
            self.renew();
            self.changed = true;
        }
        let (data, units) = canonical.ok().filter(|(data, _)| !data.is_empty())?;
        let key = inspect::is_random_access(self.track.codec, &data, &units).unwrap_or(timing.key);
        let base = self.track.time_base;
        let dts = Ticks::new(timing.dts, self.timescale).rescale(base);
        let pts = Ticks::new(timing.dts.saturating_add(timing.composition), self.timescale);
        let cts = pts.rescale(base).value.saturating_sub(dts.value);
        Some(Frame {
            track: self.track.id,
            kind: match (self.track.id.kind, key) {
                (TrackKind::Video, true) => FrameKind::Key,
                (TrackKind::Video, false) => FrameKind::Delta,
                _ => FrameKind::Audio,
            },
            dts,
            cts: i32::try_from(cts).unwrap_or_default(),
            arrival,
            data,
            units,
        })
    }
}

/// The codec of a sample entry, its configuration, and what is known of sound.
fn describe(name: [u8; 4], entry: &[u8]) -> Option<(Codec, Bytes, Option<AudioDetails>)> {
    let record = |wanted: &[u8; 4]| {
        // Behind what every entry of pictures has (§12.1.3).
        find(entry.get(78..)?, wanted).map(Bytes::copy_from_slice)
    };
    let (codec, config) = match &name {
        b"avc1" | b"avc3" => (Codec::H264, record(b"avcC")?),
        b"hvc1" | b"hev1" => (Codec::H265, record(b"hvcC")?),
        b"av01" => (Codec::Av1, record(b"av1C")?),
        b"vp08" => (Codec::Vp8, record(b"vpcC")?),
        b"vp09" => (Codec::Vp9, record(b"vpcC")?),
        b"mp4a" | b"Opus" | b"fLaC" => return describe_sound(name, entry),
        _ => return None,
    };
    Some((codec, config, None))
}

fn describe_sound(name: [u8; 4], entry: &[u8]) -> Option<(Codec, Bytes, Option<AudioDetails>)> {
    let mut r = Bits::new(entry);
    r.take(8).ok()?;
    // The version of QuickTime's entries, which are longer.
    let more = match r.u16().ok()? {
        1 => 16,
        2 => 36,
        _ => 0,
    };
    r.take(6).ok()?;
    let channels = u8::try_from(r.u16().ok()?).unwrap_or(2);
    r.take(6).ok()?;
    let sample_rate = r.u32().ok()? >> 16;
    r.take(more).ok()?;
    let sound = AudioDetails { sample_rate, channels, profile: 0 };
    let (codec, config) = match &name {
        b"mp4a" => decoder_config(find(r.rest(), b"esds")?)?,
        b"Opus" => (Codec::Opus, opus_head(find(r.rest(), b"dOps")?)?),
        _ => {
            // The metadata blocks behind version and flags.
            let blocks = find(r.rest(), b"dfLa")?.get(4..)?;
            (Codec::Flac, Bytes::copy_from_slice(blocks))
        }
    };
    Some((codec, config, Some(sound)))
}

/// What an `esds` says (ISO/IEC 14496-1 §7.2.6.5, §7.2.6.6).
fn decoder_config(esds: &[u8]) -> Option<(Codec, Bytes)> {
    let mut r = Bits::new(esds.get(4..)?);
    let elementary = descriptor(&mut r, 0x03)?;
    let mut r = Bits::new(elementary);
    r.u16().ok()?;
    let flags = r.u8().ok()?;
    if flags & 0x80 != 0 {
        r.u16().ok()?;
    }
    if flags & 0x40 != 0 {
        let length = r.u8().ok()?;
        r.take(length.into()).ok()?;
    }
    if flags & 0x20 != 0 {
        r.u16().ok()?;
    }
    let mut r = Bits::new(descriptor(&mut r, 0x04)?);
    let object_type = r.u8().ok()?;
    r.take(12).ok()?;
    match object_type {
        OTI_MPEG1_AUDIO | OTI_MPEG2_AUDIO => Some((Codec::Mp3, Bytes::new())),
        oti if oti == OTI_AAC || OTI_MPEG2_AAC.contains(&oti) => {
            Some((Codec::Aac, Bytes::copy_from_slice(descriptor(&mut r, 0x05)?)))
        }
        _ => None,
    }
}

/// The body of the next descriptor with this tag.
fn descriptor<'a>(r: &mut Bits<'a>, wanted: u8) -> Option<&'a [u8]> {
    loop {
        let tag = r.u8().ok()?;
        let mut length = 0usize;
        for _ in 0..4 {
            let byte = r.u8().ok()?;
            length = length << 7 | usize::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                break;
            }
        }
        // Some writers say more than there is.
        let body = r.take(length.min(r.remaining())).ok()?;
        if tag == wanted {
            return Some(body);
        }
    }
}

/// `OpusHead` of a `dOps` (Encapsulation of Opus in ISO BMFF §4.3.2), which is big-endian.
fn opus_head(dops: &[u8]) -> Option<Bytes> {
    let mut r = Bits::new(dops);
    r.u8().ok()?;
    let channels = r.u8().ok()?;
    let mut head = opus::Head::new(channels);
    head.channels = channels;
    head.pre_skip = r.u16().ok()?;
    head.input_sample_rate = r.u32().ok()?;
    head.output_gain = r.u16().ok()?.cast_signed();
    let family = r.u8().ok()?;
    if family != 0 {
        let (streams, coupled) = (r.u8().ok()?, r.u8().ok()?);
        let table = r.take(channels.into()).ok()?.into();
        head.mapping = Some(opus::Mapping { family, streams, coupled, table });
    }
    Some(head.to_bytes())
}

/// `track_ID` of a `tkhd`.
fn track_number(tkhd: &[u8]) -> Result<u32, media::Error> {
    let mut r = Bits::new(tkhd);
    let version = r.u32()? >> 24;
    r.take(if version == 0 { 8 } else { 16 })?;
    r.u32()
}

/// The timescale of an `mvhd` or `mdhd`.
fn timescale(body: &[u8]) -> Result<TimeBase, media::Error> {
    let mut r = Bits::new(body);
    let version = r.u32()? >> 24;
    r.take(if version == 0 { 8 } else { 16 })?;
    let value = r.u32()?;
    let invalid = || media::Error::Invalid { what: "timescale", value: value.into() };
    TimeBase::new(value).ok_or_else(invalid)
}

/// What an edit list takes from a track's times (§8.6.6): the media before the first edit, less
/// the emptiness before that.
fn edit(elst: &[u8], movie: Option<TimeBase>, media: TimeBase) -> Result<i64, media::Error> {
    let mut r = Bits::new(elst);
    let version = r.u32()? >> 24;
    let count = r.u32()?;
    let mut empty = 0i64;
    for _ in 0..count {
        let (duration, time) = if version == 0 {
            (i64::from(r.u32()?), i64::from(r.u32()?.cast_signed()))
        } else {
            (i64::try_from(r.u64()?).unwrap_or_default(), r.u64()?.cast_signed())
        };
        r.u32()?;
        if time >= 0 {
            return Ok(time.saturating_sub(empty));
        }
        let wait = movie.map_or(0, |movie| Ticks::new(duration, movie).rescale(media).value);
        empty = empty.saturating_add(wait);
    }
    Ok(0)
}

/// Where a box lies.
struct Place {
    start: usize,
    body: Range<usize>,
}

/// The boxes that `bytes` consist of; a last one that is cut is left out.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], Place)> {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        let mut head = Bits::new(bytes.get(at..)?);
        let short = head.u32().ok()?;
        let name = head.array().ok()?;
        let length = match short {
            0 => bytes.len().checked_sub(at)?,
            1 => usize::try_from(head.u64().ok()?).ok()?,
            short => usize::try_from(short).ok()?,
        };
        let (start, body) = (at, at.checked_add(head.offset())?);
        at = at.checked_add(length).filter(|end| *end >= body && *end <= bytes.len())?;
        Some((name, Place { start, body: body..at }))
    })
}

/// The bodies of the boxes with this name.
fn all(bytes: &[u8], wanted: [u8; 4]) -> impl Iterator<Item = &[u8]> {
    boxes(bytes)
        .filter(move |(name, _)| *name == wanted)
        .filter_map(|(_, place)| bytes.get(place.body))
}

/// The body of the first box with this name.
fn find<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    all(bytes, *wanted).next()
}
