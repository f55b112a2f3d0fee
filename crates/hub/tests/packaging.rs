//! What viewers get of each kind of track, in each form that they may ask for.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use flv::tag::{self, Kind as TagKind, Tag};
use flv::{audio, video};
use headwater_hub::{Channel, Channels, Dialect, Form, Framing, Packaging, Packet, Told};
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
    TrackSet { epoch: 1, tracks, metadata: None, origin: None }
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
    let rtmp = Packaging::Rtmp {
        chunk_size: 128,
        stream_id: 5,
        dialect: Dialect::default(),
        publishes: false,
    };
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

/// What goes out of these tracks over RTP, on channels 0 to 3.
fn rtp(framing: Framing, tracks: &TrackSet) -> Packaging {
    let mut channels = Channels::default();
    for (track, rtp) in tracks.tracks.iter().zip([0, 2]) {
        let told = Told::of(track).expect("a place in RTP");
        assert!(channels.set(Channel { track: track.id, rtp, rtcp: rtp + 1, told }));
    }
    Packaging::Rtp { channels, framing, seed: 7, size: 400 }
}

/// The packets of a session: channel and bytes.
fn rtp_packets(packets: &[Packet]) -> Vec<(u8, Bytes)> {
    let mut all = Vec::new();
    for packet in packets {
        let mut rest = packet.bytes.clone();
        if let Some(datagrams) = packet.datagrams {
            while !rest.is_empty() {
                let one = rest.split_to(usize::from(datagrams.size).min(rest.len()));
                all.push((datagrams.channel, one));
            }
            continue;
        }
        while !rest.is_empty() {
            let header = rest.split_to(4);
            assert_eq!(header[0], b'$');
            let length = u16::from_be_bytes([header[2], header[3]]).into();
            all.push((header[1], rest.split_to(length)));
        }
    }
    all
}

#[test]
fn rtp_packets_and_their_reports_have_one_relation_to_the_wall_clock() {
    let origin = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let video = track(TrackId::video(0), Codec::Vp8, true);
    let audio = Track {
        time_base: TimeBase::new(8_000).expect("a rate"),
        details: Details::Audio(AudioDetails { sample_rate: 8_000, channels: 1, profile: 0 }),
        ..track(TrackId::audio(0), Codec::PcmA, false)
    };
    let set = TrackSet { origin: Some(origin), ..tracks([video.clone(), audio]) };
    for framing in [Framing::Interleaved, Framing::Datagrams] {
        let mut packager = rtp(framing, &set).packager();
        // The sound is not known at first.
        let alone = TrackSet { origin: Some(origin), ..tracks([video.clone()]) };
        let mut out = Vec::new();
        packager.prologue(&alone, &mut BytesMut::new());
        packager.push(&frame(TrackId::video(0)), &alone, &mut out);
        packager.prologue(&set, &mut BytesMut::new());
        let time = |base| Ticks::from_millis(2_040, base);
        let big = vec![9; 1_000];
        let next = Frame {
            dts: time(TimeBase::VIDEO),
            kind: FrameKind::Delta,
            data: big.into(),
            ..frame(TrackId::video(0))
        };
        let base = TimeBase::new(8_000).expect("a rate");
        let sound = Frame { dts: time(base), ..frame(TrackId::audio(0)) };
        packager.push(&next, &set, &mut out);
        packager.push(&sound, &set, &mut out);
        let kinds: Vec<_> = out.iter().map(|packet| packet.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == FrameKind::Key).count(), 1, "{framing:?}");
        let (mut reports, mut media) = (Vec::new(), Vec::new());
        for (channel, bytes) in rtp_packets(&out) {
            assert!(bytes.len() <= 400);
            if channel % 2 == 1 {
                let Some(Ok(rtp::rtcp::Message::SenderReport(info, _))) =
                    rtp::rtcp::parse(&bytes).next()
                else {
                    panic!("no report");
                };
                reports.push((channel, info));
            } else {
                media.push((channel, rtp::Packet::parse(&bytes).expect("RTP")));
            }
        }
        // One of the picture alone, then of both.
        let of: Vec<_> = reports.iter().map(|(channel, _)| *channel).collect();
        assert_eq!(of, [1, 1, 3], "{framing:?}");
        let last: Vec<_> = reports.iter().rev().take(2).map(|(_, info)| info).collect();
        assert_eq!(last[0].ntp, last[1].ntp);
        let expected = rtp::rtcp::Ntp::of(origin + std::time::Duration::from_millis(2_040));
        assert_eq!(last[0].ntp, expected);
        // Shown 80 ms after it is decoded; the sound at once.
        let picture = media.iter().rfind(|(channel, _)| *channel == 0).expect("a picture");
        let told = reports.iter().rfind(|(channel, _)| *channel == 1).expect("a report");
        assert_eq!(picture.1.timestamp.wrapping_sub(told.1.rtp), 7_200);
        let heard = media.iter().rfind(|(channel, _)| *channel == 2).expect("sound");
        assert_eq!(heard.1.timestamp, last[0].rtp);
        let markers: Vec<_> =
            media.iter().filter(|(c, _)| *c == 0).map(|(_, p)| p.marker).collect();
        assert_eq!(markers, [true, false, false, true]);
        let numbers: Vec<_> =
            media.iter().filter(|(c, _)| *c == 0).map(|(_, p)| p.sequence).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    }
}

#[test]
fn viewers_over_rtp_get_what_they_were_told_of_and_nothing_else() {
    let video = |codec| track(TrackId::video(0), codec, true);
    let sound = |channels| Track {
        time_base: TimeBase::new(8_000).expect("a rate"),
        details: Details::Audio(AudioDetails { sample_rate: 8_000, channels, profile: 0 }),
        ..track(TrackId::audio(0), Codec::PcmA, false)
    };
    let (before, after) =
        (tracks([video(Codec::Vp8), sound(1)]), tracks([video(Codec::Vp9), sound(2)]));
    let media = |told: &TrackSet| {
        let mut packager = rtp(Framing::Interleaved, told).packager();
        let mut media = Vec::new();
        // There and back: whoever joins later is given the log.
        for set in [&before, &after, &before] {
            packager.prologue(set, &mut BytesMut::new());
            let mut out = Vec::new();
            for track in [TrackId::video(0), TrackId::audio(0)] {
                packager.push(&frame(track), set, &mut out);
            }
            let channels = rtp_packets(&out).into_iter().map(|(channel, _)| channel);
            media.push(channels.filter(|channel| channel % 2 == 0).collect::<Vec<_>>());
        }
        media
    };
    assert_eq!(media(&before), [vec![0, 2], vec![], vec![0, 2]]);
    assert_eq!(media(&after), [vec![], vec![0, 2], vec![]]);
}
