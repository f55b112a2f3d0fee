//! What viewers get of each kind of track, in each form that they may ask for.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use flv::tag::{self, Kind as TagKind, Tag};
use flv::{audio, video};
use headwater_hub::{Dialect, Form, Packaging, Packet};
use media::{
    AudioDetails, Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind,
    TrackSet, Units,
};
use rtmp::chunk;
use rtmp::message::Kind as MessageKind;

const FLV: fn(Dialect) -> Packaging = |dialect| Packaging::Flv { websocket: false, dialect };

fn dialect(form: Form) -> Dialect {
    Dialect { form, ..Dialect::default() }
}

fn track(id: TrackId, codec: Codec, enhanced: bool) -> Track {
    let audio = AudioDetails { sample_rate: 44_100, channels: 2, ..AudioDetails::default() };
    let is_audio = id.kind == TrackKind::Audio;
    Track {
        id,
        codec,
        time_base: if is_audio { TimeBase::MILLIS } else { TimeBase::VIDEO },
        config: Bytes::from_static(b"config"),
        color_info: None,
        enhanced,
        details: if is_audio { Details::Audio(audio) } else { Details::Unknown },
    }
}

fn tracks(all: impl IntoIterator<Item = Track>) -> TrackSet {
    let tracks = all.into_iter().map(Arc::new).collect();
    TrackSet { epoch: 1, tracks, metadata: None }
}

/// A frame at 2 s that is shown 80 ms later.
fn frame(id: TrackId) -> Frame {
    let (kind, base) = match id.kind {
        TrackKind::Audio => (FrameKind::Audio, TimeBase::MILLIS),
        _ => (FrameKind::Key, TimeBase::VIDEO),
    };
    Frame {
        track: id,
        kind,
        dts: Ticks::from_millis(2_000, base),
        cts: if id.kind == TrackKind::Video { 7_200 } else { 0 },
        arrival: Instant::now(),
        data: Bytes::from_static(b"frame"),
        units: Units::new(),
    }
}

fn prologue(packaging: Packaging, tracks: &TrackSet) -> Bytes {
    let mut out = BytesMut::new();
    packaging.packager().prologue(tracks, &mut out);
    out.freeze()
}

fn packets(packaging: Packaging, tracks: &TrackSet, frame: &Frame) -> Vec<Packet> {
    let mut out = Vec::new();
    packaging.packager().push(frame, tracks, &mut out);
    out
}

fn tags(bytes: &Bytes) -> Vec<Tag> {
    let mut reader = tag::Reader::new(tag::MAX_BODY);
    reader.push(&Bytes::from_static(b"FLV\x01\x05\0\0\0\x09\0\0\0\0"));
    reader.push(bytes);
    std::iter::from_fn(|| reader.poll().expect("FLV")).collect()
}

/// The body of the only frame that a viewer of this dialect gets; `None` if it gets none.
fn body(track: Track, dialect: Dialect) -> Option<Bytes> {
    let frame = frame(track.id);
    let packets = packets(FLV(dialect), &tracks([track]), &frame);
    assert!(packets.len() <= 1);
    packets.first().map(|packet| tags(&packet.bytes)[0].body.clone())
}

#[test]
fn a_prologue_has_metadata_then_what_decoders_need() {
    let video = Track {
        color_info: Some(Bytes::from_static(b"colours")),
        ..track(TrackId::video(0), Codec::H265, true)
    };
    let audio = track(TrackId::audio(0), Codec::Aac, false);
    let metadata = Some(Bytes::from_static(b"\x02\0\x0aonMetaData\x05"));
    let set = TrackSet { metadata: metadata.clone(), ..tracks([video, audio]) };
    let plain = tags(&prologue(FLV(Dialect::default()), &set));
    let kinds: Vec<_> = plain.iter().map(|tag| (tag.kind, tag.timestamp)).collect();
    assert_eq!(kinds, [(TagKind::Script, 0), (TagKind::Video, 0), (TagKind::Audio, 0)]);
    assert_eq!(Some(&plain[0].body), metadata.as_ref());
    assert_eq!(plain[1].body, b"\x90hvc1config"[..]);
    assert_eq!(plain[2].body, b"\xAF\0config"[..]);

    let colourful = Dialect { color_info: true, ..Dialect::default() };
    let bodies: Vec<_> =
        tags(&prologue(FLV(colourful), &set)).iter().map(|t| t.body.clone()).collect();
    assert!(bodies.contains(&Bytes::from_static(b"\x94hvc1colours")), "{bodies:?}");
}

#[test]
fn codecs_with_two_forms_take_the_one_that_is_asked_for() {
    let hevc = |enhanced| track(TrackId::video(0), Codec::H265, enhanced);
    let legacy = Some(Bytes::from_static(b"\x1C\x01\0\0\x50frame"));
    let enhanced = Some(Bytes::from_static(b"\x91hvc1\0\0\x50frame"));
    for (published, form, expected) in [
        (false, Form::AsPublished, &legacy),
        (true, Form::AsPublished, &enhanced),
        (true, Form::Legacy, &legacy),
        (false, Form::Enhanced, &enhanced),
    ] {
        assert_eq!(&body(hevc(published), dialect(form)), expected, "{published} {form:?}");
    }
    let opus = |enhanced| track(TrackId::audio(0), Codec::Opus, enhanced);
    assert_eq!(
        body(opus(false), dialect(Form::Enhanced)),
        Some(Bytes::from_static(b"\x91Opusframe"))
    );
    let legacy = body(opus(true), dialect(Form::Legacy)).expect("a legacy form");
    assert_eq!((legacy[0] >> 4, &legacy[1..]), (13, &b"frame"[..]));
    // Many viewers read only the legacy form of these.
    let avc = body(track(TrackId::video(0), Codec::H264, false), dialect(Form::Enhanced));
    assert_eq!(avc, Some(Bytes::from_static(b"\x17\x01\0\0\x50frame")));
    let aac = body(track(TrackId::audio(0), Codec::Aac, false), dialect(Form::Enhanced));
    assert_eq!(aac, Some(Bytes::from_static(b"\xAF\x01frame")));
    // And this has no other than the new one.
    let av1 = body(track(TrackId::video(0), Codec::Av1, true), dialect(Form::Legacy));
    assert_eq!(av1, Some(Bytes::from_static(b"\x91av01frame")));
}

#[test]
fn more_tracks_go_to_viewers_that_know_of_them() {
    let second = track(TrackId::video(1), Codec::H264, true);
    assert_eq!(body(second.clone(), Dialect::default()), None);
    let multitrack = Dialect { multitrack: true, ..Dialect::default() };
    let got = body(second, multitrack).expect("the second track");
    let message = video::Message::parse(&got).expect("Enhanced RTMP");
    assert_eq!(message.packets[0].track, 1);
    assert_eq!(message.packets[0].codec, Codec::H264);
    let second = track(TrackId::audio(1), Codec::Aac, true);
    let got = body(second, multitrack).expect("the second track");
    let message = audio::Message::parse(&got).expect("Enhanced RTMP");
    assert_eq!((message.packets[0].track, message.packets[0].codec), (1, Codec::Aac));

    // Viewers begin and skip by the first track alone.
    let both = tracks([
        track(TrackId::video(0), Codec::H264, true),
        track(TrackId::video(1), Codec::H264, true),
    ]);
    let kind = |index| packets(FLV(multitrack), &both, &frame(TrackId::video(index)))[0].kind;
    assert_eq!((kind(0), kind(1)), (FrameKind::Key, FrameKind::Delta));
}

#[test]
fn unknown_codecs_pass_as_they_came() {
    let video =
        Track { config: Bytes::new(), ..track(TrackId::video(0), Codec::FlvVideo(2), false) };
    assert_eq!(body(video, dialect(Form::Enhanced)), Some(Bytes::from_static(b"frame")));
    let audio =
        Track { config: Bytes::new(), ..track(TrackId::audio(0), Codec::FlvAudio(6), false) };
    assert_eq!(body(audio, dialect(Form::Legacy)), Some(Bytes::from_static(b"frame")));
}

#[test]
fn rtmp_messages_are_for_the_players_message_stream() {
    let set = tracks([track(TrackId::video(0), Codec::H264, false)]);
    let rtmp = Packaging::Rtmp { chunk_size: 128, stream_id: 5, dialect: Dialect::default() };
    let big = Frame { data: vec![7; 1000].into(), ..frame(TrackId::video(0)) };
    let packets = packets(rtmp, &set, &big);
    let mut reader = chunk::Reader::new(chunk::Limits::MEDIA);
    let mut input: &[u8] = &packets[0].bytes;
    let message = reader.read(&mut input).expect("RTMP").expect("a message");
    assert_eq!((message.kind, message.stream_id), (MessageKind::Video, 5));
    assert_eq!((message.timestamp, message.payload.len()), (2_000, 1005));
    assert!(input.is_empty());
    assert_eq!((packets[0].dts_ms, packets[0].track), (2_000, TrackKind::Video));
}

#[test]
fn each_tag_is_a_websocket_message() {
    let set = tracks([track(TrackId::video(0), Codec::H264, false)]);
    let websocket = Packaging::Flv { websocket: true, dialect: Dialect::default() };
    let frame = frame(TrackId::video(0));
    let plain = &packets(FLV(Dialect::default()), &set, &frame)[0].bytes;
    let framed = &packets(websocket, &set, &frame)[0].bytes;
    let length = u8::try_from(plain.len()).expect("a short tag");
    assert_eq!(framed[..2], [0x82, length]);
    assert_eq!(framed[2..], plain[..]);
}
