//! A minimal server: prints what is published, and relays it to who plays it:
//! `server [ADDRESS]`, by default `127.0.0.1:1935`.
//!
//! It shows how a server session is driven. A real server does not write to each player from its
//! own task, and begins with a key frame.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_rtmp::chunk::{self, Header};
use headwater_rtmp::message::Kind;
use headwater_rtmp::server::{Config, Event, Session, StreamId};
use headwater_rtmp::url::{StreamAddress, normalise};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

type Failure = Box<dyn Error>;

/// The streams by path.
type Streams = Rc<RefCell<HashMap<String, Stream>>>;

struct Stream {
    /// Whole messages in chunks, equal for all players.
    packets: broadcast::Sender<Bytes>,
    /// Metadata and sequence headers: what a player needs first.
    head: Vec<Bytes>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1935".to_owned());
    let listener = TcpListener::bind(address).await?;
    say(&format!("listening on {}", listener.local_addr()?));
    let streams = Streams::default();
    let serve = async {
        loop {
            let (socket, peer) = listener.accept().await?;
            let connection = Connection::new(streams.clone(), u64::from(peer.port()));
            tokio::task::spawn_local(async move {
                let ended = connection.run(socket).await;
                say(&format!("{peer}: closed: {ended:?}"));
            });
        }
    };
    LocalSet::new().run_until(serve).await
}

struct Connection {
    session: Session,
    streams: Streams,
    app: String,
    publishing: Option<String>,
    playing: Option<broadcast::Receiver<Bytes>>,
    /// What a new player is to get first.
    head: Vec<Bytes>,
}

impl Connection {
    fn new(streams: Streams, seed: u64) -> Self {
        let session = Session::new(Arc::new(Config::default()), seed, now());
        let (app, publishing, playing, head) = (String::new(), None, None, Vec::new());
        Self { session, streams, app, publishing, playing, head }
    }

    async fn run(mut self, mut socket: TcpStream) -> Result<(), Failure> {
        let mut buffer = vec![0; 32 << 10];
        let ended = loop {
            let idle = now() + Duration::from_secs(3600);
            let deadline = self.session.poll_timeout().unwrap_or(idle);
            let handled = tokio::select! {
                read = socket.read(&mut buffer) => match read? {
                    0 => break Ok(()),
                    len => self.session.handle_input(&buffer[..len], now()),
                },
                packet = next(&mut self.playing) => {
                    socket.write_all(&packet).await?;
                    Ok(())
                }
                () = sleep_until(Instant::from_std(deadline)) => {
                    self.session.handle_timeout(now())
                }
            };
            while let Some(event) = self.session.poll_event() {
                self.handle(event)?;
            }
            while let Some(bytes) = self.session.poll_transmit() {
                socket.write_all(&bytes).await?;
            }
            for packet in self.head.drain(..) {
                socket.write_all(&packet).await?;
            }
            if let Err(error) = handled {
                break Err(error.into());
            }
        };
        self.unpublish();
        ended
    }

    fn handle(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Connect(request) => {
                say(&format!("connect {:?} by {:?}", request.app, request.flash_ver));
                self.app = request.app;
                self.session.accept_connect(now())?;
            }
            Event::Publish { stream, name, .. } => match normalise(&self.app, &name) {
                Ok(address) => self.publish(stream, &address)?,
                Err(error) => {
                    let code = "NetStream.Publish.BadName";
                    self.session.reject_publish(stream, code, &error.to_string(), now())?;
                }
            },
            Event::Play { stream, request } => {
                let found = normalise(&self.app, &request.name)
                    .ok()
                    .and_then(|address| self.subscribe(&address.path()));
                say(&format!("play {:?}: {}", request.name, found.is_some()));
                match found {
                    Some(()) => self.session.accept_play(stream, now())?,
                    None => {
                        let code = "NetStream.Play.StreamNotFound";
                        self.session.reject_play(stream, code, "No such stream", now())?;
                    }
                }
            }
            Event::Audio { timestamp, payload, .. } => {
                let is_head = matches!(*payload, [first, 0, ..] if first >> 4 == 10);
                self.relay(chunk::AUDIO, Kind::Audio, timestamp, &payload, is_head)?;
            }
            Event::Video { timestamp, payload, .. } => {
                let is_head = matches!(*payload, [0x17, 0, ..]);
                self.relay(chunk::VIDEO, Kind::Video, timestamp, &payload, is_head)?;
            }
            Event::Data { timestamp, payload, .. } => {
                let payload = flv::script::without_set_data_frame(&payload);
                self.relay(chunk::DATA, Kind::DataAmf0, timestamp, &payload, true)?;
            }
            Event::StreamEnded { stream } => {
                say(&format!("stream {stream} ended"));
                self.unpublish();
                self.playing = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn publish(&mut self, stream: StreamId, address: &StreamAddress) -> Result<(), Failure> {
        let path = address.path();
        if self.streams.borrow().contains_key(&path) {
            let code = "NetStream.Publish.BadName";
            self.session.reject_publish(stream, code, "Already publishing", now())?;
            return Ok(());
        }
        say(&format!("publish {path:?} ({:?})", address.query));
        let packets = broadcast::channel(1024).0;
        self.streams.borrow_mut().insert(path.clone(), Stream { packets, head: Vec::new() });
        self.publishing = Some(path);
        self.session.accept_publish(stream, now())?;
        Ok(())
    }

    fn unpublish(&mut self) {
        if let Some(path) = self.publishing.take() {
            self.streams.borrow_mut().remove(&path);
        }
    }

    fn subscribe(&mut self, path: &str) -> Option<()> {
        let streams = self.streams.borrow();
        let stream = streams.get(path)?;
        self.playing = Some(stream.packets.subscribe());
        self.head.clone_from(&stream.head);
        Some(())
    }

    fn relay(
        &mut self,
        chunk_stream: u32,
        kind: Kind,
        timestamp: u32,
        payload: &[u8],
        is_head: bool,
    ) -> Result<(), Failure> {
        let Some(path) = &self.publishing else { return Ok(()) };
        say(&format!("{path}: {kind:?} at {timestamp} ms, {} bytes", payload.len()));
        let mut packet = BytesMut::new();
        let header = Header { chunk_stream, kind, stream_id: 1, timestamp };
        chunk::write_message(&mut packet, header, &[payload], chunk::Size::DEFAULT)?;
        let packet = packet.freeze();
        if let Some(stream) = self.streams.borrow_mut().get_mut(path) {
            if is_head && stream.head.len() < 8 {
                stream.head.push(packet.clone());
            }
            // It fails when nobody plays.
            let _ = stream.packets.send(packet);
        }
        Ok(())
    }
}

/// The next packet to play; none ever for those who do not play, or not any longer.
async fn next(playing: &mut Option<broadcast::Receiver<Bytes>>) -> Bytes {
    while let Some(receiver) = playing {
        match receiver.recv().await {
            Ok(packet) => return packet,
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => *playing = None,
        }
    }
    std::future::pending().await
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn say(line: &str) {
    println!("{line}");
}
