//! Frames as FLV tag bodies, which FLV and RTMP share.

use bytes::{Bytes, BytesMut};
use flv::tag::Kind;
use flv::{audio, video};
use media::{Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackKind, TrackSet};

use super::{Dialect, Form};

/// A tag body in two pieces: a header, and the shared payload.
pub(super) struct Body {
    pub(super) kind: Kind,
    pub(super) header: BytesMut,
    pub(super) payload: Bytes,
}

/// Calls `put` with each body that a frame becomes: none if the viewer cannot take its track.
pub(super) fn of_frame(
    frame: &Frame,
    tracks: &TrackSet,
    dialect: Dialect,
    mut put: impl FnMut(Body),
) {
    match (frame.track.kind, frame.kind) {
        (TrackKind::Data, _) => put(script(frame.data.clone())),
        (_, FrameKind::Config) => {
            if let Some(track) = tracks.get(frame.track) {
                of_config(track, dialect, put);
            }
        }
        (TrackKind::Video, _) => {
            let Some(track) = tracks.get(frame.track) else { return };
            let cts = Ticks::new(i64::from(frame.cts), frame.dts.base).rescale(TimeBase::MILLIS);
            let cts = i32::try_from(cts.value).unwrap_or_default();
            let kind = video::Kind::Frame { key: frame.kind == FrameKind::Key, cts };
            of_video(track, dialect, kind, frame.data.clone()).into_iter().for_each(put);
        }
        (TrackKind::Audio, _) => {
            let Some(track) = tracks.get(frame.track) else { return };
            let kind = audio::Kind::Frame;
            of_audio(track, dialect, kind, frame.data.clone()).into_iter().for_each(put);
        }
    }
}

/// Calls `put` with each body that a viewer needs before its first frame: metadata, then what each
/// track's decoder needs.
pub(super) fn of_tracks(tracks: &TrackSet, dialect: Dialect, mut put: impl FnMut(Body)) {
    if let Some(metadata) = &tracks.metadata {
        put(script(metadata.clone()));
    }
    for track in &tracks.tracks {
        of_config(track, dialect, &mut put);
    }
}

fn of_config(track: &Track, dialect: Dialect, mut put: impl FnMut(Body)) {
    if track.id.kind == TrackKind::Audio {
        if !track.config.is_empty() {
            let kind = audio::Kind::Config;
            of_audio(track, dialect, kind, track.config.clone()).into_iter().for_each(put);
        }
        return;
    }
    if let Some(info) = track.color_info.as_ref().filter(|_| dialect.color_info) {
        let kind = video::Kind::Metadata;
        of_video(track, dialect, kind, info.clone()).into_iter().for_each(&mut put);
    }
    if !track.config.is_empty() {
        let kind = video::Kind::Config;
        of_video(track, dialect, kind, track.config.clone()).into_iter().for_each(put);
    }
}

fn script(payload: Bytes) -> Body {
    Body { kind: Kind::Script, header: BytesMut::new(), payload }
}

fn of_video(track: &Track, dialect: Dialect, kind: video::Kind, payload: Bytes) -> Option<Body> {
    let number = track_number(track, dialect)?;
    let mut header = BytesMut::with_capacity(16);
    if !matches!(track.codec, Codec::FlvVideo(_)) {
        let enhanced = is_enhanced(track, dialect);
        let wanted = video::Header { codec: track.codec, kind, enhanced, track: number };
        wanted.write(&mut header).ok()?;
    }
    Some(Body { kind: Kind::Video, header, payload })
}

fn of_audio(track: &Track, dialect: Dialect, kind: audio::Kind, payload: Bytes) -> Option<Body> {
    let number = track_number(track, dialect)?;
    let mut header = BytesMut::with_capacity(16);
    if !matches!(track.codec, Codec::FlvAudio(_)) {
        let (sample_rate, channels) = match &track.details {
            Details::Audio(details) => (details.sample_rate, details.channels),
            _ => (0, 0),
        };
        // Opus has no configuration in its legacy form, and needs none.
        let enhanced = is_enhanced(track, dialect);
        let wanted = audio::Header {
            codec: track.codec,
            kind,
            enhanced,
            track: number,
            sample_rate,
            channels,
        };
        wanted.write(&mut header).ok()?;
    }
    Some(Body { kind: Kind::Audio, header, payload })
}

/// The track number to write: none for the first track. `None` if the viewer takes no other.
#[allow(clippy::option_option)] // "left out" and "not numbered" are different answers
fn track_number(track: &Track, dialect: Dialect) -> Option<Option<u8>> {
    match track.id.index {
        0 => Some(None),
        index if dialect.multitrack => Some(Some(index)),
        _ => None,
    }
}

fn is_enhanced(track: &Track, dialect: Dialect) -> bool {
    match (dialect.form, track.codec) {
        (Form::AsPublished, _) => track.enhanced,
        (Form::Legacy, _) => false,
        // Every peer reads the legacy form of these, and many only that.
        (Form::Enhanced, Codec::H264 | Codec::Aac | Codec::Mp3) => track.enhanced,
        (Form::Enhanced, _) => true,
    }
}
