//! What delivery costs: frames allocate by themselves, however many viewers there are.

use std::alloc::System;
use std::io::Read;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use headwater_net::{Action, Conn, Joining, Listener, Listening, Peer, Shard, Shards};
use hub::{
    Dialect, EndReason, Identity, Kind, Packaging, Protocol, Publication, Registry, Role, Session,
    Sessions, Stream, StreamName, StreamSettings,
};
use media::{Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, Units};
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

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
    frames: u8,
    _shards: Shards,
}

impl Scene {
    async fn new(viewers: usize) -> Self {
        let settings = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_: &StreamName| settings.clone()), 1);
        let sessions = Sessions::default();
        let open = |role| {
            let kind = Kind { protocol: Protocol::Flv, role };
            sessions.open(kind, None, SystemTime::now())
        };
        let name = StreamName::new("live", "one", Identity::AppAndName).expect("a name");
        let publication = registry.publish(&name, &open(Role::Pub), Instant::now());
        let mut publication = publication.expect("nobody else publishes");
        publication.announce(true, false, Instant::now()).expect("it publishes");
        publication.set_track(track(), 0, Instant::now()).expect("it publishes");
        let stream = registry.find(&name).expect("a stream");

        let shards = Shards::start(1).expect("a thread");
        let listening = Listening::bind("127.0.0.1:0", None).expect("a port");
        let address = listening.address();
        let listener = listening.start().expect("a runtime");
        let mut clients = Vec::new();
        for _ in 0..viewers {
            clients.push(join(&shards, &listener, address.port(), &stream, open(Role::Sub)).await);
        }
        let mut scene = Self { publication, clients, frames: 0, _shards: shards };
        scene.warm_up();
        scene
    }

    /// Lets everything reach its lasting size, and every viewer everything that there is.
    fn warm_up(&mut self) {
        for _ in 0..60 {
            self.push();
        }
        let newest = self.frames;
        let mut buffer = vec![0; 1 << 20];
        for client in &mut self.clients {
            let mut filled = 0;
            while !buffer.get(..filled).is_some_and(|read| read.ends_with(&tail(newest))) {
                filled += client.read(&mut buffer[filled..]).expect("a stream");
            }
        }
    }

    fn push(&mut self) {
        self.frames += 1;
        let (track, arrival) = (TrackId::video(0), Instant::now());
        let kind = if self.frames % 10 == 1 { FrameKind::Key } else { FrameKind::Delta };
        let frame = Frame {
            track,
            kind,
            dts: Ticks::from_millis(i64::from(self.frames) * 40, TimeBase::VIDEO),
            cts: 0,
            arrival,
            data: Bytes::from(vec![self.frames; FRAME]),
            units: Units::new(),
        };
        self.publication.push(frame).expect("it publishes");
    }

    /// How often memory was allocated while `frames` frames went to every viewer.
    fn allocations(&mut self, frames: usize) -> usize {
        let mut buffer = [0; TAG];
        let region = Region::new(ALLOCATOR);
        for _ in 0..frames {
            self.push();
            for client in &mut self.clients {
                client.read_exact(&mut buffer).expect("a tag");
                assert!(buffer.ends_with(&tail(self.frames)), "another frame than the newest");
            }
        }
        region.change().allocations
    }
}

/// How the tag of a frame ends.
fn tail(frame: u8) -> [u8; 8] {
    let [a, b, c, d] = u32::try_from(TAG - 4).expect("a small tag").to_be_bytes();
    [frame, frame, frame, frame, a, b, c, d]
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
    let mut few = Scene::new(10).await;
    let with_few = few.allocations(FRAMES);
    drop(few);
    let mut many = Scene::new(40).await;
    let with_many = many.allocations(FRAMES);
    // What happens once a second falls into one of the two more often than into the other; an
    // allocation for each viewer and frame would make 3000.
    let difference = with_many.abs_diff(with_few);
    assert!(difference <= 30, "{with_few} allocations with 10 viewers, {with_many} with 40");
}
