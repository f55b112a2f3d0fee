//! MP4 files, fragmented or not (ISO/IEC 14496-12).

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use media::{
    AudioDetails, Codec, Details, Frame, FrameKind, Reader, Ticks, TimeBase, Track, TrackId,
    TrackKind, inspect, opus,
};
use mpeg::ts::Demuxed;
use shiguredo_mp4::boxes::{MoovBox, SampleEntry};
use shiguredo_mp4::demux::{
    Fmp4FileDemuxer, Input, Mp4FileDemuxer, Mp4FileKind, Mp4FileKindDetector, RequiredInput, Sample,
};
use shiguredo_mp4::{Decode, Encode};

/// `objectTypeIndication` of audio (ISO/IEC 14496-1 §7.2.6.6).
const OTI_AAC: [u8; 4] = [0x40, 0x66, 0x67, 0x68];
const OTI_MP3: [u8; 2] = [0x69, 0x6B];

/// All tracks and frames of a file, in the order of decoding.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Demuxed>> {
    let fragmented = {
        let mut detector = Mp4FileKindDetector::new();
        loop {
            if let Some(kind) = detector.file_kind().context("the file is damaged")? {
                break kind == Mp4FileKind::FragmentedMp4;
            }
            let wanted = detector.required_input().context("the file ends before its head")?;
            detector.handle_input(input(bytes, wanted));
        }
    };
    let fragments = if fragmented { Some(with_relative_offsets(bytes)) } else { None };
    let bytes = fragments.as_deref().unwrap_or(bytes);
    let (tracks, edits) = (BTreeMap::new(), edits(bytes));
    let mut reader = Samples { bytes, tracks, edits, items: Vec::new(), next: [0; 2] };
    if fragmented {
        let mut demuxer = Fmp4FileDemuxer::new();
        loop {
            while let Some(wanted) = demuxer.required_input() {
                demuxer.handle_input(input(bytes, wanted));
            }
            match demuxer.next_sample() {
                Ok(Some(sample)) => reader.push(&sample)?,
                Ok(None) => break,
                // A file that was cut plays up to there.
                Err(error) if reader.items.is_empty() => return Err(error.into()),
                Err(_) => break,
            }
        }
    } else {
        let mut demuxer = Mp4FileDemuxer::new();
        while let Some(wanted) = demuxer.required_input() {
            demuxer.handle_input(input(bytes, wanted));
        }
        while let Some(sample) = demuxer.next_sample()? {
            reader.push(&sample)?;
        }
    }
    ensure!(!reader.items.is_empty(), "no track of it is understood");
    // Samples come track by track or chunk by chunk; tags are in the order of time.
    let mut items = reader.items;
    items.sort_by_key(|(at, _)| *at);
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

fn input(bytes: &[u8], wanted: RequiredInput) -> Input<'_> {
    let start = usize::try_from(wanted.position).unwrap_or(usize::MAX).min(bytes.len());
    let end = wanted.size.map_or(bytes.len(), |size| start.saturating_add(size).min(bytes.len()));
    Input { position: wanted.position, data: bytes.get(start..end).unwrap_or_default() }
}

/// Collects samples as frames.
struct Samples<'a> {
    bytes: &'a [u8],
    /// By the file's numbers; `None` for what is not understood.
    tracks: BTreeMap<u32, Option<Track>>,
    /// When each track begins, in the file's time.
    edits: BTreeMap<u32, Edit>,
    items: Vec<(Ticks, Demuxed)>,
    next: [u8; 2],
}

impl Samples<'_> {
    fn push(&mut self, sample: &Sample<'_>) -> Result<()> {
        let number = sample.track.track_id;
        let base = TimeBase::new(sample.track.timescale.get()).context("a timescale of zero")?;
        let edit = self.edits.get(&number).copied().unwrap_or_default();
        let start = edit.start.map_or(0, |start| start.rescale(base).value);
        let at = Ticks::new(i64::try_from(sample.timestamp)? - edit.media_time + start, base);
        if let Some(entry) = sample.sample_entry {
            let old = self.tracks.get(&number).and_then(Option::as_ref).map(|track| track.id);
            let track = self.describe(entry, old);
            if let Some(track) = &track {
                self.items.push((at, Demuxed::Track(track.clone())));
            }
            self.tracks.insert(number, track);
        }
        let Some(Some(track)) = self.tracks.get(&number) else { return Ok(()) };
        let start = usize::try_from(sample.data_offset)?;
        let data = start
            .checked_add(sample.data_size)
            .and_then(|end| self.bytes.get(start..end))
            .context("a sample lies beyond the end of the file")?;
        let (data, units) = inspect::canonical(
            track.codec,
            &Bytes::copy_from_slice(data),
            length_size(track),
            |_| {},
        )
        .unwrap_or_default();
        let kind = match (track.id.kind, sample.keyframe) {
            (TrackKind::Video, true) => FrameKind::Key,
            (TrackKind::Video, false) => FrameKind::Delta,
            _ => FrameKind::Audio,
        };
        let dts = at.rescale(track.time_base);
        let offset = Ticks::new(sample.composition_time_offset.unwrap_or(0), base);
        let frame = Frame {
            track: track.id,
            kind,
            dts,
            cts: i32::try_from(offset.rescale(track.time_base).value).unwrap_or_default(),
            arrival: Instant::now(),
            data,
            units,
        };
        self.items.push((at, Demuxed::Frame(frame)));
        Ok(())
    }

    fn describe(&mut self, entry: &SampleEntry, old: Option<TrackId>) -> Option<Track> {
        // The box without its head is the record.
        let body = |encoded: Option<Vec<u8>>| encoded?.get(8..).map(Bytes::copy_from_slice);
        let (codec, config) = match entry {
            SampleEntry::Avc1(b) => (Codec::H264, body(b.avcc_box.encode_to_vec().ok())?),
            SampleEntry::Hvc1(b) => (Codec::H265, body(b.hvcc_box.encode_to_vec().ok())?),
            SampleEntry::Hev1(b) => (Codec::H265, body(b.hvcc_box.encode_to_vec().ok())?),
            SampleEntry::Av01(b) => (Codec::Av1, body(b.av1c_box.encode_to_vec().ok())?),
            SampleEntry::Vp08(b) => (Codec::Vp8, body(b.vpcc_box.encode_to_vec().ok())?),
            SampleEntry::Vp09(b) => (Codec::Vp9, body(b.vpcc_box.encode_to_vec().ok())?),
            SampleEntry::Opus(b) => {
                let dops = &b.dops_box;
                let mut head = opus::Head::new(dops.output_channel_count);
                head.pre_skip = dops.pre_skip;
                head.input_sample_rate = dops.input_sample_rate;
                head.output_gain = dops.output_gain;
                (Codec::Opus, head.to_bytes())
            }
            SampleEntry::Mp4a(b) => {
                let config = &b.esds_box.es.dec_config_descr;
                let specific = config.dec_specific_info.as_ref();
                let specific = specific.map(|info| Bytes::copy_from_slice(&info.payload));
                match config.object_type_indication {
                    oti if OTI_AAC.contains(&oti) => (Codec::Aac, specific?),
                    oti if OTI_MP3.contains(&oti) => (Codec::Mp3, Bytes::new()),
                    _ => return None,
                }
            }
            _ => return None,
        };
        let mut details = inspect::details(codec, &config).unwrap_or_default();
        if let (SampleEntry::Mp4a(b), Codec::Mp3) = (entry, codec) {
            details = Details::Audio(AudioDetails {
                sample_rate: b.audio.samplerate.integer.into(),
                channels: u8::try_from(b.audio.channelcount).unwrap_or(2),
                profile: 0,
            });
        }
        let is_sound = matches!(entry, SampleEntry::Opus(_) | SampleEntry::Mp4a(_));
        let kind = if is_sound { TrackKind::Audio } else { TrackKind::Video };
        let id = old.unwrap_or_else(|| {
            let [video, audio] = &mut self.next;
            let next = if kind == TrackKind::Audio { audio } else { video };
            *next += 1;
            TrackId { kind, index: *next - 1 }
        });
        Some(Track {
            id,
            codec,
            time_base: match kind {
                TrackKind::Audio => inspect::time_base(codec, &details),
                _ => TimeBase::VIDEO,
            },
            config,
            color_info: None,
            enhanced: !matches!(codec, Codec::H264 | Codec::Aac | Codec::Mp3),
            details,
        })
    }
}

/// The size of the lengths before a track's NAL units.
fn length_size(track: &Track) -> u8 {
    match track.codec {
        Codec::H264 => media::h264::Config::parse(&track.config).map_or(4, |c| c.length_size()),
        Codec::H265 => media::h265::Config::parse(&track.config).map_or(4, |c| c.length_size()),
        _ => media::nal::LENGTH_SIZE,
    }
}

/// Where a track's presentation begins (ISO/IEC 14496-12 §8.6.6): after `start`, with the media of
/// `media_time`. What encoders put before it is priming, or makes room for reordered pictures.
#[derive(Debug, Clone, Copy, Default)]
struct Edit {
    start: Option<Ticks>,
    media_time: i64,
}

/// The first edits of all tracks.
fn edits(bytes: &[u8]) -> BTreeMap<u32, Edit> {
    let moov = boxes(bytes).find(|(name, _)| name == b"moov").and_then(|(_, span)| bytes.get(span));
    let Some(Ok((moov, _))) = moov.map(MoovBox::decode) else { return BTreeMap::new() };
    let base = TimeBase::new(moov.mvhd_box.timescale.get());
    let mut found = BTreeMap::new();
    for trak in &moov.trak_boxes {
        let list = trak.edts_box.as_ref().and_then(|edts| edts.elst_box.as_ref());
        let mut edit = Edit::default();
        for entry in list.into_iter().flat_map(|list| &list.entries) {
            if entry.media_time >= 0 {
                edit.media_time = entry.media_time;
                break;
            }
            let wait = i64::try_from(entry.edit_duration).unwrap_or_default();
            edit.start = base.map(|base| Ticks::new(wait, base));
        }
        found.insert(trak.tkhd_box.track_id, edit);
    }
    found
}

/// The boxes that `bytes` consist of: names and spans.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], Range<usize>)> {
    let mut at = 0usize;
    std::iter::from_fn(move || {
        let mut head = Reader::new(bytes.get(at..)?);
        let short = head.u32().ok()?;
        let name = head.array().ok()?;
        let length = match short {
            0 => bytes.len() - at,
            1 => usize::try_from(head.u64().ok()?).ok()?,
            short => usize::try_from(short).ok()?,
        };
        let start = at;
        at = at.checked_add(length).filter(|end| length >= 8 && *end <= bytes.len())?;
        Some((name, start..at))
    })
}

/// Fragments whose data is found from their own start, as files for streaming have it. Older files
/// say where in the file a fragment is (§8.8.7); the demuxer does not follow that.
fn with_relative_offsets(bytes: &[u8]) -> Vec<u8> {
    const BASE_DATA_OFFSET: u32 = 0x00_0001;
    const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
    let mut out = bytes.to_vec();
    for (_, moof) in boxes(bytes).filter(|(name, _)| name == b"moof") {
        let inside = |span: &Range<usize>| {
            let start = span.start + 8;
            let list: Vec<_> = boxes(bytes.get(start..span.end).unwrap_or_default()).collect();
            list.into_iter().map(move |(name, s)| (name, s.start + start..s.end + start))
        };
        for (_, traf) in inside(&moof).filter(|(name, _)| name == b"traf") {
            let Some((_, tfhd)) = inside(&traf).find(|(name, _)| name == b"tfhd") else { continue };
            let Some(place) = out.get_mut(tfhd) else { continue };
            let (mut r, length) = (Reader::new(place), place.len());
            let head = (|| {
                r.u64().ok()?;
                let flags = r.u32().ok()?;
                r.u32().ok()?;
                Some((flags, r.u64().ok()?))
            })();
            let Some((flags, base)) = head.filter(|(flags, _)| flags & BASE_DATA_OFFSET != 0)
            else {
                continue;
            };
            if base != moof.start as u64 {
                continue;
            }
            // What follows the offset moves up; the room that is left becomes a box without a
            // meaning.
            place.copy_within(24..length, 16);
            let flags = flags & !BASE_DATA_OFFSET | DEFAULT_BASE_IS_MOOF;
            let shorter = u32::try_from(length - 8).unwrap_or(u32::MAX);
            for (at, value) in [(0, shorter), (8, flags), (length - 8, 8)] {
                if let Some(field) = place.get_mut(at..at + 4) {
                    field.copy_from_slice(&value.to_be_bytes());
                }
            }
            if let Some(name) = place.get_mut(length - 4..) {
                name.copy_from_slice(b"free");
            }
        }
    }
    out
}
