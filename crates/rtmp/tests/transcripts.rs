//! What real programs said to a server, cut at every place: the events are always the same, and
//! those that were written down. `testdata/record` makes the recordings.

// A test fails by panicking, and its names are its documentation.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_rtmp::server::{Config, Event, Session};
use testkit::{Random, VirtualClock};

/// A server that lets everybody do what they want, and writes down what that is.
struct Listener {
    session: Session,
    clock: VirtualClock,
    events: Vec<Event>,
}

impl Listener {
    fn new() -> Self {
        let clock = VirtualClock::new();
        let session = Session::new(Arc::new(Config::default()), 1, clock.now());
        Self { session, clock, events: Vec::new() }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let now = self.clock.now();
        self.session.handle_input(bytes, now).expect("real programs speak RTMP");
        while let Some(event) = self.session.poll_event() {
            match &event {
                Event::Connect(_) => self.session.accept_connect(now).unwrap(),
                Event::Publish { stream, .. } => self.session.accept_publish(*stream, now).unwrap(),
                Event::Play { stream, .. } => self.session.accept_play(*stream, now).unwrap(),
                _ => {}
            }
            self.events.push(event);
        }
        while self.session.poll_transmit().is_some() {}
    }
}

/// The events of a conversation that arrives in these pieces.
fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut listener = Listener::new();
    pieces.into_iter().for_each(|piece| listener.hear(piece));
    listener.events
}

/// One line for each event.
fn summary(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Connect(connect) => {
                let (app, software) = (&connect.app, &connect.flash_ver);
                writeln!(text, "connect to {app:?} by {software:?}")
            }
            Event::Publish { stream, name, kind } => {
                writeln!(text, "publish {name:?} as {kind:?} on {}", stream.0)
            }
            Event::Play { stream, request } => {
                let (name, start) = (&request.name, request.start);
                writeln!(text, "play {name:?} from {start} on {}", stream.0)
            }
            Event::Audio { timestamp, payload, .. } => {
                writeln!(text, "audio at {timestamp}: {}", media(payload))
            }
            Event::Video { timestamp, payload, .. } => {
                writeln!(text, "video at {timestamp}: {}", media(payload))
            }
            Event::Data { timestamp, payload, .. } => {
                let name =
                    flv::script::name(&flv::script::without_set_data_frame(payload)).unwrap();
                writeln!(text, "data at {timestamp}: {name:?}, {} bytes", payload.len())
            }
            other => writeln!(text, "{other:?}"),
        }
        .unwrap();
    }
    text
}

/// The beginning of a tag body, and its length.
fn media(body: &[u8]) -> String {
    let head: Vec<String> = body.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{}, {} bytes", head.join(" "), body.len())
}

fn check(name: &str) {
    let file = |ending| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
        folder.join(format!("{name}.{ending}"))
    };
    let said = fs::read(file("rtmp")).expect("a recording");
    let whole = events([&said[..]]);
    let understood = summary(&whole);
    if std::env::var_os("UPDATE_EVENTS").is_some() {
        fs::write(file("events"), &understood).unwrap();
    }
    let written_down = fs::read_to_string(file("events")).expect("what was written down");
    assert_eq!(understood, written_down, "{name} is understood in another way than before");

    for at in 0..=said.len() {
        let (first, second) = said.split_at(at);
        let cut = events([first, second]);
        assert!(cut == whole, "{name}: a cut at {at} makes this of it:\n{}", summary(&cut));
    }
    let mut random = Random::new(1);
    for round in 0..200 {
        let (mut rest, mut pieces) = (&said[..], Vec::new());
        while !rest.is_empty() {
            let longest = 1 << (random.bits() % 12);
            let length = usize::try_from(random.bits() % longest + 1).unwrap().min(rest.len());
            let (piece, after) = rest.split_at(length);
            pieces.push(piece);
            rest = after;
        }
        assert!(events(pieces) == whole, "{name}: the pieces of round {round} make a difference");
    }
}

macro_rules! transcripts {
    ($($test:ident: $name:literal;)*) => {$(
        #[test]
        fn $test() {
            check($name);
        }
    )*};
}

transcripts! {
    ffmpeg_publishes: "ffmpeg-publish";
    a_modern_ffmpeg_publishes_hevc: "ffmpeg-modern-publish-hevc";
    gstreamer_publishes: "gstreamer-rtmp2sink";
    gstreamer_publishes_with_librtmp: "gstreamer-rtmpsink";
    rtmpdump_plays: "rtmpdump-play";
    ffmpeg_plays: "ffmpeg-play";
    a_modern_ffmpeg_plays: "ffmpeg-modern-play";
    mpv_plays: "mpv-play";
    gstreamer_plays: "gstreamer-rtmp2src";
}
