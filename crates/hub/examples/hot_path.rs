//! The steps that every frame takes, over and over, for a counter of instructions:
//! `hot_path CASE REPETITIONS`. `scripts/instructions` runs it and compares.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use headwater_hub::{Cursor, Dialect, Packager, Packaging, Packet, Prologue, Ring, StreamSettings};
use media::{
    Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind, TrackSet, Units,
};
use rtmp::chunk;
use rtmp::message::Kind;

/// Bytes of a picture: 1 Mbit/s at 25 pictures a second.
const PICTURE: usize = 5000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_default();
    let repetitions = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let dialect = Dialect::default();
    match case.as_str() {
        "package-rtmp" => {
            package(
                Packaging::Rtmp { chunk_size: 60_000, stream_id: 1, dialect, publishes: false },
                repetitions,
            );
        }
        "package-flv" => package(Packaging::Flv { websocket: false, dialect }, repetitions),
        "package-ws-flv" => package(Packaging::Flv { websocket: true, dialect }, repetitions),
        "read-chunks" => read_chunks(repetitions),
        "read-payload" => read_payload(repetitions),
        "send-to-a-viewer" => send(repetitions),
        other => {
            eprintln!("there is no case {other:?}; scripts/instructions has them");
            std::process::exit(2);
        }
    }
}

fn frame(number: u32) -> Frame {
    Frame {
        track: TrackId::video(0),
        kind: FrameKind::Delta,
        dts: Ticks::from_millis(i64::from(number) * 40, TimeBase::VIDEO),
        cts: 0,
        arrival: Instant::now(),
        data: Bytes::from_static(&[7; PICTURE]),
        units: Units::new(),
    }
}

/// A frame becomes packets.
fn package(packaging: Packaging, repetitions: u32) {
    let track = Track {
        id: TrackId::video(0),
        codec: Codec::H264,
        time_base: TimeBase::VIDEO,
        config: Bytes::new(),
        color_info: None,
        enhanced: false,
        details: Details::Unknown,
    };
    let tracks = TrackSet { epoch: 1, tracks: vec![Arc::new(track)], metadata: None, origin: None };
    let mut packager: Box<dyn Packager> = packaging.packager();
    let mut packets = Vec::new();
    let frame = frame(1);
    for _ in 0..repetitions {
        packager.push(black_box(&frame), &tracks, &mut packets);
        black_box(&packets);
        packets.clear();
    }
}

/// A message in chunks of 4096 bytes becomes a whole.
fn read_chunks(repetitions: u32) {
    let header =
        chunk::Header { chunk_stream: chunk::VIDEO, kind: Kind::Video, stream_id: 1, timestamp: 0 };
    let mut wire = BytesMut::new();
    let size = chunk::Size::new(4096).unwrap_or(chunk::Size::DEFAULT);
    let mut announcement = BytesMut::new();
    rtmp::message::Control::SetChunkSize(4096).write(&mut announcement, chunk::Size::INITIAL);
    let written = chunk::write_message(&mut wire, header, &[&[7; PICTURE]], size);
    assert!(written.is_ok(), "a short message");
    let mut reader = chunk::Reader::new(chunk::Limits::MEDIA);
    let announced = reader.read(&mut &announcement[..]);
    assert!(announced.is_ok(), "a valid size");
    for _ in 0..repetitions {
        let message = reader.read(&mut black_box(&wire[..]));
        assert!(matches!(message, Ok(Some(_))), "a whole message");
        let _ = black_box(message);
    }
}

/// The header of a tag body is read.
fn read_payload(repetitions: u32) {
    let mut body = vec![0x27, 1, 0, 0, 40];
    body.resize(PICTURE, 7);
    let body = Bytes::from(body);
    for _ in 0..repetitions {
        let message = flv::video::Message::parse(black_box(&body));
        assert!(message.is_ok(), "a valid body");
        let _ = black_box(message);
    }
}

/// A viewer that keeps up gets the next packet; the ring's own work is in it.
fn send(repetitions: u32) {
    let settings = StreamSettings::default();
    let mut ring: Ring = Ring::new(&settings, Duration::from_secs(2));
    ring.push_prologue(Prologue { epoch: 1, bytes: Bytes::new(), has_video: true });
    let now = Instant::now();
    let packet = |number: u32| Packet {
        bytes: Bytes::from_static(&[7; PICTURE]),
        kind: if number.is_multiple_of(50) { FrameKind::Key } else { FrameKind::Delta },
        track: TrackKind::Video,
        dts_ms: i64::from(number) * 40,
        epoch: 1,
        datagrams: None,
    };
    ring.push(packet(0));
    let mut cursor = Cursor::join(&ring, [], now);
    for number in 1..=repetitions {
        ring.push(packet(number));
        cursor.catch_up(&ring, &settings, now);
        let drained = cursor.drain(&ring, 1 << 20, |slices| {
            io::Result::Ok(black_box(slices).iter().map(|slice| slice.len()).sum())
        });
        let _ = black_box(drained);
    }
}
