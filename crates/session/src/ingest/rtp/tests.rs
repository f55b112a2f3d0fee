//! What packets become in a stream.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::task::{Context as TaskContext, Poll, Waker};

use ::rtp::packet::Header;
use ::rtp::sdp;
use hub::{Kind, Protocol, Registry, Role, StreamSettings, Tap, Tapped};
use testkit::h264::{Picture, Sequence};

use super::*;
use crate::Settings;
use crate::context::Context;

const SEQUENCE: Sequence = Sequence { width: 64, height: 48, rate: (25, 1), reorders: false };

/// What packets of one medium become, 40 ms apart: they have a sequence number, a timestamp and
/// a payload, and are pieces of one buffer.
fn frames(media: &str, packets: &[(u16, u32, Bytes)]) -> (Vec<TimeBase>, Vec<Frame>) {
    let packets = (0..).zip(packets.iter().cloned());
    let packets = packets.map(|(place, (sequence, timestamp, payload))| {
        (0, Duration::from_millis(40) * place, sequence, timestamp, payload)
    });
    frames_of(media, &packets.collect::<Vec<_>>())
}

/// The same of several media: of which the packet is, and when it comes, stands first.
fn frames_of(
    media: &str,
    packets: &[(usize, Duration, u16, u32, Bytes)],
) -> (Vec<TimeBase>, Vec<Frame>) {
    let settings = std::sync::Arc::new(StreamSettings::default());
    let registry = Registry::new(std::sync::Arc::new(move |_| settings.clone()), 9);
    let context = Context::new(registry, Settings::default());
    let name = context.settings.load().stream_name("live", "any").unwrap();
    let kind = Kind { protocol: Protocol::Rtsp, role: Role::Pub };
    let tenure = context.open(kind, None);
    let publication = context.publish(tenure.session(), &name).unwrap();
    let mut tap = Tap::open(&context.registry.find(&name).unwrap(), 64 << 20);
    let session = sdp::Session::parse(format!("v=0\r\n{media}").as_bytes()).unwrap();
    let formats: Vec<_> = session.media.iter().map(|media| Format::of(media).unwrap()).collect();
    let types: Vec<_> = formats.iter().map(|format| format.payload_type).collect();
    let rules = Reception { patience: Duration::ZERO, pass_torn: false };
    let now = Instant::now();
    let id = tenure.session().id().clone();
    let mut ingest = RtpIngest::new(publication, id, formats, rules, 1, now).unwrap();
    let mut all = BytesMut::new();
    let ends: Vec<_> = packets
        .iter()
        .map(|(index, _, sequence, timestamp, payload)| {
            let (sequence, timestamp) = (*sequence, *timestamp);
            let payload_type = types[*index];
            let header = Header { marker: true, payload_type, sequence, timestamp, ssrc: 7 };
            header.write(&mut all);
            all.extend_from_slice(payload);
            all.len()
        })
        .collect();
    let (all, mut start) = (all.freeze(), 0);
    for ((index, after, ..), end) in packets.iter().zip(ends) {
        ingest.packet(*index, &all.slice(start..end), now + *after).unwrap();
        start = end;
    }
    ingest.finish(now);
    let mut cx = TaskContext::from_waker(Waker::noop());
    let (mut bases, mut frames) = (Vec::new(), Vec::new());
    drop(all);
    while let Poll::Ready(tapped) = tap.poll_next(&mut cx) {
        match tapped {
            Tapped::Tracks { tracks, .. } => {
                bases = tracks.tracks.iter().map(|track| track.time_base).collect();
            }
            Tapped::Frame(frame) if frame.kind != FrameKind::Config => frames.push(frame),
            _ => {}
        }
    }
    (bases, frames)
}

/// How the pictures are described.
fn video() -> String {
    let sets = [SEQUENCE.sps(), SEQUENCE.pps()].map(|set| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(set)
    });
    format!(
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 sprop-parameter-sets={}\r\n",
        sets.join(",")
    )
}

/// A picture is whole when the next one comes, and belongs where it came itself.
#[test]
fn rare_pictures_begin_with_their_sound() {
    let media = video() + "m=audio 0 RTP/AVP 8\r\n";
    let mut packets = Vec::new();
    for place in 0..100u16 {
        let after = Duration::from_millis(40) * u32::from(place);
        if place % 25 == 0 {
            let (sequence, time) = (place / 25, u32::from(place) * 3_600);
            let picture = SEQUENCE.slice(Picture::Key { gop: sequence.into() });
            packets.push((0, after, sequence, time, picture));
        }
        let sound = Bytes::from_static(&[5; 320]);
        packets.push((1, after, place, u32::from(place) * 320, sound));
    }
    let (_, frames) = frames_of(&media, &packets);
    let of = |kind: TrackKind| {
        let frames = frames.iter().filter(|frame| frame.track.kind == kind);
        frames.map(|frame| frame.dts.millis()).collect::<Vec<_>>()
    };
    let (pictures, sound) = (of(TrackKind::Video), of(TrackKind::Audio));
    assert_eq!((pictures.len(), sound.len()), (4, 100));
    assert_eq!(pictures, [sound[0], sound[25], sound[50], sound[75]]);
}

#[test]
fn pictures_go_on_when_their_clock_is_set_back() {
    let picture = |place: u32| {
        let (number, display) = (u64::from(place % 10), u64::from(place % 10));
        match number {
            0 => SEQUENCE.slice(Picture::Key { gop: u64::from(place / 10) }),
            _ => SEQUENCE.slice(Picture::P { number, display }),
        }
    };
    let media = video();
    let packets: Vec<_> = (0..200u16)
        .map(|place| {
            // Five seconds, as the clocks of cameras are set.
            let back = if place >= 100 { 450_000 } else { 0 };
            let timestamp = 1_000_000 + u32::from(place) * 3_600 - back;
            (place, timestamp, picture(place.into()))
        })
        .collect();
    let (_, frames) = frames(&media, &packets);
    assert_eq!(frames.len(), 200);
    for pair in frames.windows(2) {
        let step = pair[1].dts.value - pair[0].dts.value;
        assert_eq!((step, pair[1].cts), (3_600, 0), "{:?}", pair[1].dts);
    }
}

#[test]
fn sound_that_nobody_understands_keeps_its_clock() {
    let media = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 G726-32/8000\r\n";
    let payload = Bytes::from_static(&[5; 80]);
    let packets: Vec<_> =
        (0..50u16).map(|place| (place, u32::from(place) * 161, payload.clone())).collect();
    let (bases, frames) = frames(media, &packets);
    assert_eq!(bases, [TimeBase::new(8_000).unwrap()]);
    assert_eq!(frames.len(), 50);
    assert!(frames.windows(2).all(|pair| pair[1].dts.value - pair[0].dts.value == 161));
}

#[test]
fn sound_holds_no_buffer_of_packets() {
    let media = "m=audio 0 RTP/AVP 8\r\n";
    let payload = Bytes::from_static(&[5; 160]);
    let packets: Vec<_> =
        (0..50u16).map(|place| (place, u32::from(place) * 160, payload.clone())).collect();
    let (_, frames) = frames(media, &packets);
    let starts: Vec<_> = frames.iter().map(|frame| frame.data.as_ptr().addr()).collect();
    // In one buffer, they would stand a packet apart.
    let apart = starts.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) == 172).count();
    assert_eq!((frames.len(), apart), (50, 0));
}
