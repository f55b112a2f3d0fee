//! A day of a stream in virtual time: from an RTMP publisher's machine through the server's, the
//! stream and its packagers, into what viewers' parsers make of it. The time stamps cross 2³² ms
//! after half a day and 2²⁴ ms some hours later.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flv::tag::{self, Kind as TagKind, Tag};
use headwater_session::customize::Publisher;
use headwater_session::{Context, Settings};
use hub::{
    Delivery, Dialect, Identity, Packaging, PacketSink, Registry, StreamName, StreamSettings,
};
use rtmp::message::Kind;
use rtmp::server::{Event, StreamId};
use rtmp::url::Target;
use rtmp::{chunk, client, server};
use testkit::{Programme, TagKind as Made};

/// The first frame's time: 2³² ms less twelve hours.
const START: u64 = (1 << 32) - 12 * HOUR;
const HOUR: u64 = 3_600_000;
const CROSSINGS: [u64; 2] = [1 << 32, (1 << 32) + (1 << 24)];

/// A frame as it is published, or as a viewer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: Made,
    timestamp: u32,
    body: Bytes,
}

/// When frames come: a picture every two seconds, and around the crossings 25 pictures a second
/// with sound between them.
fn schedule() -> Vec<(Made, u64)> {
    let sparse = (0..12 * HOUR * 2).step_by(2_000).map(|at| (Made::Video, START + at));
    let dense = |crossing: u64| {
        let pictures = (crossing - 3_000..crossing + 3_000).step_by(40);
        let sounds = (crossing - 3_007..crossing + 3_000).step_by(21);
        pictures.map(|at| (Made::Video, at)).chain(sounds.map(|at| (Made::Audio, at)))
    };
    let mut all: Vec<_> = sparse.chain(CROSSINGS.into_iter().flat_map(dense)).collect();
    all.sort_by_key(|(kind, at)| (*at, *kind == Made::Video));
    all.dedup();
    all
}

/// The body of the frame with this number.
fn body(kind: Made, number: u32) -> Bytes {
    let mut body = match kind {
        // A slice of an IDR picture that is shown 80 ms after it is decoded.
        Made::Video => vec![0x17, 1, 0, 0, 80, 0, 0, 0, 12, 0x65, 0x88, 0x84],
        _ => vec![0xAF, 1, 0x21],
    };
    body.extend(format!("{number:09}").bytes());
    body.into()
}

/// A publisher's and a server's machine, wired to each other and to a stream.
struct Road {
    client: client::Session,
    server: server::Session,
    publisher: Publisher,
    now: Instant,
}

impl Road {
    fn new(publisher: Publisher) -> Self {
        let now = Instant::now();
        let target = Target::parse("rtmp://localhost/live/day").expect("a URL");
        let client = client::Session::push(target, client::Config::default(), 1, now);
        let server = server::Session::new(Arc::default(), 2, now);
        let mut road = Self { client, server, publisher, now };
        while !road.pass_on() {}
        road
    }

    /// Lets both sides say what they have to say. Returns whether the publisher may send.
    fn pass_on(&mut self) -> bool {
        while let Some(bytes) = self.client.poll_transmit() {
            self.server.handle_input(&bytes, self.now).expect("RTMP");
        }
        while let Some(event) = self.server.poll_event() {
            self.take(event);
        }
        while let Some(bytes) = self.server.poll_transmit() {
            self.client.handle_input(&bytes, self.now).expect("RTMP");
        }
        let ready = |event| matches!(event, client::Event::Ready { .. });
        std::iter::from_fn(|| self.client.poll_event()).any(ready)
    }

    fn take(&mut self, event: Event) {
        let (kind, timestamp, body) = match event {
            Event::Connect(_) => return self.server.accept_connect(self.now).expect("a request"),
            Event::Publish { stream, .. } => {
                return self.server.accept_publish(stream, self.now).expect("a request");
            }
            Event::Audio { timestamp, payload, .. } => (TagKind::Audio, timestamp, payload),
            Event::Video { timestamp, payload, .. } => (TagKind::Video, timestamp, payload),
            Event::Data { timestamp, payload, .. } => (TagKind::Script, timestamp, payload),
            _ => return,
        };
        self.publisher.feed(&Tag { kind, timestamp, body }).expect("nobody takes over");
    }

    fn send(&mut self, kind: Made, at: u64, body: &[u8]) {
        self.now += Duration::from_millis(1);
        let timestamp = low(at);
        match kind {
            Made::Audio => self.client.send_audio(timestamp, body),
            Made::Video => self.client.send_video(timestamp, body),
            Made::Script => self.client.send_data(timestamp, body),
        }
        .expect("it may send");
        self.pass_on();
    }
}

fn low(at: u64) -> u32 {
    u32::try_from(at & 0xFFFF_FFFF).expect("32 bits")
}

/// The bytes that a viewer gets.
#[derive(Default)]
struct Wire(Mutex<BytesMut>);

impl Wire {
    fn take(&self) -> BytesMut {
        self.0.lock().expect("nobody panicked").split()
    }
}

impl PacketSink for Wire {
    fn deliver(&self, _: u64, delivery: Delivery) {
        let mut bytes = self.0.lock().expect("nobody panicked");
        match delivery {
            Delivery::Prologue(prologue) => bytes.extend_from_slice(&prologue.bytes),
            Delivery::Packets(packets) => {
                packets.iter().for_each(|packet| bytes.extend_from_slice(&packet.bytes));
            }
            Delivery::End(reason) => panic!("the stream ended: {reason}"),
        }
    }
}

/// A frame; `None` for configurations and metadata.
fn seen(kind: Made, timestamp: u32, body: Bytes) -> Option<Seen> {
    (kind != Made::Script && body.get(1) == Some(&1)).then_some(Seen { kind, timestamp, body })
}

/// What an RTMP player understands.
fn read_rtmp(reader: &mut chunk::Reader, bytes: &[u8]) -> Vec<Seen> {
    let (mut input, mut all) = (bytes, Vec::new());
    while let Some(message) = reader.read(&mut input).expect("RTMP") {
        let kind = match message.kind {
            Kind::Audio => Made::Audio,
            Kind::Video => Made::Video,
            _ => Made::Script,
        };
        all.extend(seen(kind, message.timestamp, message.payload));
    }
    all
}

/// What an FLV player understands.
fn read_flv(reader: &mut tag::Reader, bytes: BytesMut) -> Vec<Seen> {
    reader.push(&bytes.freeze());
    let mut all = Vec::new();
    while let Some(tag) = reader.poll().expect("FLV") {
        let kind = match tag.kind {
            TagKind::Audio => Made::Audio,
            TagKind::Video => Made::Video,
            _ => Made::Script,
        };
        all.extend(seen(kind, tag.timestamp, tag.body));
    }
    all
}

#[test]
fn every_frame_of_a_day_leaves_with_its_time() {
    let settings = Arc::new(StreamSettings::default());
    let registry = Registry::new(Arc::new(move |_: &StreamName| settings.clone()), 1);
    let context = Context::new(registry.clone(), Settings::default());
    let name = StreamName::new("live", "day", Identity::AppAndName).expect("a name");
    let mut road = Road::new(Publisher::new(&context, &name).expect("nobody else publishes"));

    let stream = registry.find(&name).expect("a stream");
    let (to_rtmp, to_flv) = (Arc::new(Wire::default()), Arc::new(Wire::default()));
    let dialect = Dialect::default();
    let StreamId(stream_id) = StreamId(1);
    let chunk_size = chunk::Size::DEFAULT.get();
    let rtmp = Packaging::Rtmp { chunk_size, stream_id, dialect, publishes: false };
    let flv = Packaging::Flv { websocket: false, dialect };
    stream.lock().subscribe(rtmp, to_rtmp.clone());
    stream.lock().subscribe(flv, to_flv.clone());
    let mut player = chunk::Reader::new(chunk::Limits::MEDIA);
    let size = rtmp::message::Control::SetChunkSize(chunk_size);
    let mut announcement = BytesMut::new();
    size.write(&mut announcement, chunk::Size::INITIAL);
    assert_eq!(read_rtmp(&mut player, &announcement), []);
    let mut file = tag::Reader::new(tag::MAX_BODY);
    file.push(&Bytes::from_static(b"FLV\x01\x05\0\0\0\x09\0\0\0\0"));

    for item in Programme::live(100_000).config() {
        road.send(item.kind, START, &item.body);
    }
    let frames = schedule();
    assert!(frames.len() > 43_000);
    for (number, (kind, at)) in frames.into_iter().enumerate() {
        let body = body(kind, u32::try_from(number).expect("few frames"));
        road.send(kind, at, &body);
        let expected = [Seen { kind, timestamp: low(at), body }];
        assert_eq!(read_rtmp(&mut player, &to_rtmp.take()), expected, "RTMP, at {at} ms");
        assert_eq!(read_flv(&mut file, to_flv.take()), expected, "FLV, at {at} ms");
    }
    assert_eq!(stream.lock().summary(Instant::now()).repairs, hub::Repairs::default());
}
