//! Media files of any kind as FLV tags: FLV as it is, the others by way of frames.

mod mp4;
mod ps;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use flv::tag::{self, Tag};
use hub::{Dialect, Form, Packaging};
use media::{Frame, FrameKind, Ticks, TrackSet};
use mpeg::ts::{Demuxed, Demuxer};
use rtp::dump::Records;

/// All tags of a file, with time from zero.
pub(super) fn read(file: &Path) -> Result<Vec<Tag>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut tags = tags(&bytes).with_context(|| format!("in {}", file.display()))?;
    ensure!(!tags.is_empty(), "{} has no frames", file.display());
    let first = tags.iter().map(|tag| tag.timestamp).min().unwrap_or(0);
    tags.iter_mut().for_each(|tag| tag.timestamp -= first);
    Ok(tags)
}

fn tags(bytes: &[u8]) -> Result<Vec<Tag>> {
    if bytes.starts_with(b"FLV") {
        parse_flv(bytes)
    } else if bytes.get(4..8).is_some_and(|name| name == b"ftyp" || name == b"styp") {
        into_tags(mp4::read(bytes)?)
    } else if bytes.first() == Some(&mpeg::ts::SYNC) {
        into_tags(read_ts(bytes)?)
    } else if bytes.starts_with(ps::PACK) {
        into_tags(ps::read(bytes)?)
    } else if let Ok(records) = Records::new(Bytes::copy_from_slice(bytes)) {
        into_tags(ps::read_dump(records)?)
    } else {
        bail!("this is none of FLV, MPEG-TS, MP4, MPEG-PS, and no dump of RTP packets (pcap)")
    }
}

/// All tags of an FLV file in memory.
pub(super) fn parse_flv(bytes: &[u8]) -> Result<Vec<Tag>> {
    let mut reader = tag::Reader::new(tag::MAX_BODY);
    reader.push(bytes);
    let mut tags = Vec::new();
    while let Some(tag) = reader.poll()? {
        tags.push(tag);
    }
    Ok(tags)
}

/// Packages tracks and frames as a server does.
fn into_tags(items: Vec<Demuxed>) -> Result<Vec<Tag>> {
    let dialect = Dialect { form: Form::AsPublished, multitrack: true, color_info: true };
    let mut packager = Packaging::Flv { websocket: false, dialect }.packager();
    let mut tracks = TrackSet::default();
    let mut out = BytesMut::from(&tag::FileHeader { audio: true, video: true }.bytes()[..]);
    let mut frames = Vec::new();
    // Negative times have no place in a tag.
    let first = items.iter().filter_map(|item| match item {
        Demuxed::Frame(frame) => Some(frame.dts.millis()),
        Demuxed::Track(_) => None,
    });
    let first = first.min().unwrap_or(0);
    for item in items {
        match item {
            Demuxed::Track(track) => {
                let (id, config, base) = (track.id, track.config.clone(), track.time_base);
                tracks.epoch += 1;
                tracks.tracks.retain(|known| known.id != id);
                tracks.tracks.push(Arc::new(track));
                tracks.tracks.sort_by_key(|track| track.id);
                let kind = FrameKind::Config;
                frames.push((
                    tracks.clone(),
                    Frame {
                        track: id,
                        kind,
                        dts: frames
                            .last()
                            .map_or_else(|| Ticks::new(0, base), |(_, last): &(_, Frame)| last.dts),
                        cts: 0,
                        arrival: Instant::now(),
                        data: config,
                        units: media::Units::new(),
                    },
                ));
            }
            Demuxed::Frame(mut frame) => {
                let base = frame.dts.base;
                let shift = Ticks::from_millis(first, base).value;
                frame.dts = Ticks::new((frame.dts.value - shift).max(0), base);
                frames.push((tracks.clone(), frame));
            }
        }
    }
    let mut packets = Vec::new();
    for (tracks, frame) in &frames {
        packager.push(frame, tracks, &mut packets);
        packets.drain(..).for_each(|packet: hub::Packet| out.extend_from_slice(&packet.bytes));
    }
    parse_flv(&out)
}

fn read_ts(bytes: &[u8]) -> Result<Vec<Demuxed>> {
    let now = Instant::now();
    let mut demuxer = Demuxer::new();
    demuxer.push(bytes, now);
    demuxer.finish(now);
    let items: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
    ensure!(
        !items.is_empty(),
        "no stream of it is understood{}",
        match demuxer.left_out() {
            [] => String::new(),
            left_out => format!("; it has {left_out:?}"),
        }
    );
    Ok(items)
}
