//! What delivery costs, and that both ways to write to viewers deliver the same.

use std::alloc::System;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use headwater_net::{
    Action, Begin, Conn, Egress, Joining, Listener, Listening, Peer, Shard, Shards,
};
use hub::{
    Dialect, EndReason, Identity, Kind, Packaging, Protocol, Publication, Registry, Role, Session,
    Sessions, Stream, StreamName, StreamSettings,
};
use media::{Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, Units};
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations are counted for the whole process: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const LIMIT: Duration = Duration::from_secs(10);

/// The bytes of a frame; its FLV tag has 20 more: tag header, payload header, size.
const FRAME: usize = 1000;
const TAG: usize = FRAME + 20;

/// A viewer's protocol that says nothing.
struct Silent;

impl Peer for Silent {
    fn handle_input(&mut self, _: &[u8], _: Instant) -> Result<(), EndReason> {
        Ok(())
    }

    fn handle_timeout(&mut self, _: Instant) -> Result<(), EndReason> {
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        None
    }

    fn farewell(&mut self, _: &EndReason) -> Bytes {
        Bytes::new()
    }

    fn released(self: Box<Self>, _: Conn, _: Bytes, _: &Rc<Shard>) {}

    fn ended(&mut self, _: &EndReason) {}
}

/// A stream with viewers on one shard.
struct Scene {
    publication: Publication,
    clients: Vec<TcpStream>,
    frames: u16,
    _shards: Shards,
}

impl Scene {
    async fn new(viewers: usize, egress: Egress) -> Self {
        // Nobody is late here, however slow.
        let skip_after = Duration::from_secs(60);
        let settings = Arc::new(StreamSettings { skip_after, ..StreamSettings::default() });
        let registry = Registry::new(Arc::new(move |_: &StreamName| settings.clone()), 1);
        let sessions = Sessions::default();
        let open = |role| {
            let kind = Kind { protocol: Protocol::Flv, role };
            sessions.open(kind, None, SystemTime::now())
        };
        let name = StreamName::new("live", "one", Identity::AppAndName).expect("a name");
        let publication =
            registry.publish(&name, &open(Role::Pub), Instant::now(), SystemTime::now());
        let mut publication = publication.expect("nobody else publishes");
        publication.announce(true, false, Instant::now()).expect("it publishes");
        publication.set_track(track(), 0, Instant::now()).expect("it publishes");
        let stream = registry.find(&name).expect("a stream");

        let shards = Shards::start(1, egress).expect("a thread");
        let listening = Listening::bind("127.0.0.1:0", None).expect("a port");
        let address = listening.address();
        let listener = listening.start().expect("a runtime");
        let mut clients = Vec::new();
        for _ in 0..viewers {
            clients.push(join(&shards, &listener, address.port(), &stream, open(Role::Sub)).await);
        }
        Self { publication, clients, frames: 0, _shards: shards }
    }

    /// Lets everything reach its lasting size, and every viewer everything that there is.
    fn warm_up(&mut self) {
        for _ in 0..60 {
            self.push(FRAME);
        }
        let end = tail(self.frames, FRAME);
        for client in &mut self.clients {
            read_until(client, &end, 1 << 20, Duration::ZERO);
        }
    }

    /// Publishes the next frame, with `length` bytes.
    fn push(&mut self, length: usize) {
        self.frames += 1;
        let (track, arrival) = (TrackId::video(0), Instant::now());
        let kind = if self.frames % 10 == 1 { FrameKind::Key } else { FrameKind::Delta };
        let frame = Frame {
            track,
            kind,
            dts: Ticks::from_millis(i64::from(self.frames) * 40, TimeBase::VIDEO),
            cts: 0,
            arrival,
            data: Bytes::from(self.frames.to_be_bytes().repeat(length / 2)),
            units: Units::new(),
        };
        self.publication.push(frame).expect("it publishes");
    }

    /// How often memory was allocated while `frames` frames went to every viewer.
    fn allocations(&mut self, frames: usize) -> usize {
        let mut buffer = [0; TAG];
        let region = Region::new(ALLOCATOR);
        for _ in 0..frames {
            self.push(FRAME);
            for client in &mut self.clients {
                client.read_exact(&mut buffer).expect("a tag");
                assert!(
                    buffer.ends_with(&tail(self.frames, FRAME)),
                    "another frame than the newest"
                );
            }
        }
        region.change().allocations
    }
}

/// How the tag of a frame ends.
fn tail(frame: u16, length: usize) -> [u8; 8] {
    let [x, y] = frame.to_be_bytes();
    let [a, b, c, d] = u32::try_from(length + TAG - FRAME - 4).expect("a tag").to_be_bytes();
    [x, y, x, y, a, b, c, d]
}

/// Reads at most `step` bytes at a time, with a pause after each, until `end` has come.
fn read_until(client: &mut TcpStream, end: &[u8], step: usize, pause: Duration) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; step]);
    while !all.ends_with(end) {
        let count = match client.read(&mut buffer) {
            // The end of another test's rings interrupts whatever waits.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("a stream"),
        };
        assert!(count > 0, "the viewer was closed after {} bytes", all.len());
        all.extend_from_slice(&buffer[..count]);
        std::thread::park_timeout(pause);
    }
    all
}

fn track() -> Track {
    Track {
        id: TrackId::video(0),
        codec: Codec::H264,
        time_base: TimeBase::VIDEO,
        config: Bytes::from_static(&[1, 66, 0, 30, 255]),
        color_info: None,
        enhanced: false,
        details: Details::Unknown,
    }
}

/// Connects a viewer and puts it into the engine of the shard.
async fn join(
    shards: &Shards,
    listener: &Listener,
    port: u16,
    stream: &Arc<Mutex<Stream>>,
    session: Arc<Session>,
) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", port)).expect("the listener accepts");
    client.set_read_timeout(Some(LIMIT)).expect("a time-out");
    let connecting = listener.accept().await;
    let stream = stream.clone();
    let serve = |shard: Rc<Shard>| async move {
        let conn = connecting.establish(LIMIT).await.expect("a connection");
        shard.join(Joining {
            conn,
            stream,
            packaging: Packaging::Flv { websocket: false, dialect: Dialect::default() },
            flush_after: None,
            begin: Begin::Cached,
            outlets: Vec::new(),
            own: Vec::new(),
            peer: Box::new(Silent),
            session,
        });
    };
    shards.place(serve).await;
    client
}

#[tokio::test]
async fn viewers_cost_no_allocations() {
    const FRAMES: usize = 100;
    let _alone = ALONE.lock().await;
    for egress in [Egress::Epoll, Egress::Uring] {
        let mut few = Scene::new(10, egress).await;
        few.warm_up();
        let with_few = few.allocations(FRAMES);
        drop(few);
        let mut many = Scene::new(40, egress).await;
        many.warm_up();
        let with_many = many.allocations(FRAMES);
        // What happens once a second falls into one of the two more often than into the other; an
        // allocation for each viewer and frame would make 3000.
        let difference = with_many.abs_diff(with_few);
        assert!(difference <= 30, "{egress:?}: {with_few} with 10 viewers, {with_many} with 40");
    }
}

/// What quick and slow viewers got, while others among them broke off.
async fn delivered(egress: Egress) -> Vec<Vec<u8>> {
    const FRAMES: usize = 400;
    let mut scene = Scene::new(12, egress).await;
    // 70 bytes to 140 kB, in no order.
    let lengths: Vec<usize> = (0..FRAMES).map(|i| 70 << (i * 7 % 12)).collect();
    let last = u16::try_from(FRAMES).expect("few frames");
    let end = tail(last, *lengths.last().expect("a frame"));
    let mut readers = Vec::new();
    let mut leaving = Vec::new();
    for (index, mut client) in scene.clients.drain(..).enumerate() {
        let (step, pause) = match index % 3 {
            0 => (1 << 20, Duration::ZERO),
            1 => (20_000, Duration::from_millis(2)),
            _ => {
                leaving.push(client);
                continue;
            }
        };
        readers.push(std::thread::spawn(move || read_until(&mut client, &end, step, pause)));
    }
    for length in lengths {
        scene.push(length);
        if usize::from(scene.frames).is_multiple_of(FRAMES / 5) {
            // With bytes unread, which resets the connection.
            leaving.pop();
        }
        std::thread::park_timeout(Duration::from_micros(500));
    }
    readers.into_iter().map(|reader| reader.join().expect("a reader")).collect()
}

#[tokio::test]
async fn both_ways_to_write_deliver_the_same() {
    let _alone = ALONE.lock().await;
    let by_epoll = delivered(Egress::Epoll).await;
    let by_uring = delivered(Egress::Uring).await;
    let first = &by_epoll[0];
    assert!(first.len() > 8 << 20, "only {} bytes", first.len());
    for (index, got) in by_epoll.iter().chain(&by_uring).enumerate() {
        assert!(got == first, "viewer {index} got something else");
    }
}
