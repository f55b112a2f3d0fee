//! Viewers of endless media over HTTP and WebSocket: `http(s)://host/app/name.flv`, `ws(s)://…`,
//! and the same with `.ts` and `.mp4`.
//!
//! For FLV, a query of `form=legacy` or `form=enhanced` chooses how HEVC and Opus are written,
//! `multitrack=1` asks for all tracks; other parameters belong to the viewer.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hub::gate;
use hub::{
    Address, Dialect, EndReason, Form, NameError, Packaging, Role, StreamName, StreamState,
    file_header,
};
use media::Codec;
use net::{Action, Begin, Conn, Joining, Peer, Shard};
use tracing::{info, warn};
use ws::frame::{Event, Reader, close_frame, pong_frame};
use ws::response::{LiveBody, switching_protocols};
use ws::{Method, Status, frame};

use super::container::Container;
use super::{Exchange, MAX_IGNORED, Waited, login, wait};
use crate::admission::Admitted;
use crate::context::{HttpSettings, Tenure};
use crate::via;

/// What viewers may send over a WebSocket; players send nothing.
const MAX_MESSAGE: usize = 4 << 10;

/// Answers a request for a stream in a container.
pub(super) async fn answer(mut exchange: Exchange, container: Container) {
    let tenure = exchange.open(container.protocol());
    let name = match resolve(&exchange, container, &tenure) {
        Ok(name) => name,
        Err(error) => {
            exchange.refuse(tenure, Status::BAD_REQUEST, &error.to_string()).await;
            return;
        }
    };
    let websocket = match exchange.request.upgrade() {
        Ok(upgrade) => upgrade.map(|upgrade| switching_protocols(&upgrade, &[])),
        Err(error) => {
            let (status, text) = (error.status(), error.to_string());
            exchange.refuse(tenure, status, &text).await;
            return;
        }
    };
    let credentials = login::credentials(exchange.request.header("authorization"));
    let mut allowed = tenure.ask(gate::Action::Play, Some(&name), credentials).await;
    if exchange.request.method() != Method::Head {
        allowed = allowed.and_then(|()| tenure.join(&name));
    }
    if let Err(denial) = allowed {
        exchange.deny(tenure, &denial).await;
        return;
    }
    if exchange.request.method() == Method::Head {
        answer_head(exchange, container, tenure, &name).await;
        return;
    }
    let settings = exchange.context.settings.load_full();
    let waiting = exchange.context.registry.watch(&name);
    let limit = waiting.patience(settings.wait_for_stream);
    let waited = wait(&exchange.shard, &mut exchange.conn, &tenure, limit, waiting.ready()).await;
    match waited {
        Waited::Ready(()) => {}
        Waited::TooLong => {
            let text = format!(
                "stream {name} is not published here; publish it, or check application and name"
            );
            exchange.refuse(tenure, Status::NOT_FOUND, &text).await;
            return;
        }
        Waited::Gone(reason) => {
            let mut tenure = tenure;
            tenure.end(&reason);
            return;
        }
    }
    let stream = waiting.stream().clone();
    let is_websocket = websocket.is_some();
    let packaging = packaging(container, is_websocket, exchange.request.query(), &settings.http);
    let tracks = stream.lock().tracks().clone();
    let left_out = packaging.left_out(&tracks);
    if !left_out.is_empty() {
        let codecs = Codec::list(&left_out);
        if left_out.len() == tracks.tracks.len() {
            let text = format!(
                "{container} has no place for {codecs}, which {name} consists of; {}",
                container.alternative()
            );
            exchange.refuse(tenure, Status::NOT_ACCEPTABLE, &text).await;
            return;
        }
        let session = tenure.session().id();
        warn!(%session, stream = %name, "{container} has no place for {codecs}: left out");
    }
    let content_type = container.content_type(&tracks);
    let head =
        websocket.unwrap_or_else(|| exchange.responder.live(content_type, LiveBody::UntilClose));
    let mut own = vec![head];
    if container == Container::Flv {
        own.push(file_header(&tracks, is_websocket));
    }
    let session = tenure.session().clone();
    session.set_totals(exchange.read, 0);
    info!(session = %session.id(), stream = %name, websocket = is_websocket, %container, "plays");
    let mut viewer = Viewer {
        tenure,
        _admitted: exchange.admitted,
        reader: is_websocket.then(|| Reader::new(frame::Role::Server, MAX_MESSAGE)),
        ignored: 0,
        actions: VecDeque::new(),
        close_code: None,
    };
    if let Err(reason) = viewer.handle_input(&exchange.beyond, Instant::now()) {
        viewer.ended(&reason);
        return;
    }
    exchange.shard.join(Joining {
        conn: exchange.conn,
        stream,
        packaging,
        flush_after: container.rules(&settings.http).flush_after,
        begin: Begin::Cached,
        own,
        outlets: Vec::new(),
        peer: Box::new(viewer),
        session,
    });
}

/// `HEAD` says what `GET` would say, without waiting for a stream.
async fn answer_head(
    exchange: Exchange,
    container: Container,
    mut tenure: Tenure,
    name: &StreamName,
) {
    let stream = exchange.context.registry.find(name);
    let tracks = stream.and_then(|stream| {
        let stream = stream.lock();
        (stream.state() != StreamState::Idle).then(|| stream.tracks().clone())
    });
    if let Some(tracks) = tracks {
        tenure.end(&EndReason::PeerClosed);
        let content_type = container.content_type(&tracks);
        let head = exchange.responder.live(content_type, LiveBody::UntilClose);
        exchange.conn.close(head).await;
    } else {
        let text = format!("stream {name} is not published here");
        exchange.refuse(tenure, Status::NOT_FOUND, &text).await;
    }
}

/// The stream that the path names; the session now has an address.
fn resolve(
    exchange: &Exchange,
    container: Container,
    tenure: &Tenure,
) -> Result<StreamName, NameError> {
    let suffix = container.suffix();
    let path = exchange.request.path();
    let path = path.strip_suffix(suffix).unwrap_or(path).trim_matches('/');
    let (app, name) = path.rsplit_once('/').unwrap_or(("", path));
    let key = exchange.context.settings.load().stream_name(app, name)?;
    let scheme = match (exchange.request.is_websocket_upgrade(), exchange.conn.is_tls()) {
        (false, false) => "http",
        (false, true) => "https",
        (true, false) => "ws",
        (true, true) => "wss",
    };
    let query = exchange.request.query();
    let mark = if query.is_empty() { "" } else { "?" };
    let host = exchange.request.host();
    let address = Address {
        url: format!("{scheme}://{host}/{path}{suffix}{mark}{query}"),
        app_name: app.to_owned(),
        stream_name: name.to_owned(),
        raw_query: query.to_owned(),
        via: via::read(exchange.request.header(via::FIELD)),
    };
    tenure.session().assume(Role::Sub, address);
    Ok(key)
}

fn packaging(
    container: Container,
    websocket: bool,
    query: &str,
    settings: &HttpSettings,
) -> Packaging {
    match container {
        Container::Flv => Packaging::Flv { websocket, dialect: dialect(query, settings) },
        Container::Ts => Packaging::Ts { websocket },
        Container::Mp4 => Packaging::Mp4 { websocket },
    }
}

fn dialect(query: &str, settings: &HttpSettings) -> Dialect {
    let wish = |key: &str| {
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key)
    };
    let form = match wish("form") {
        Some((_, "legacy")) => Form::Legacy,
        Some((_, "enhanced")) => Form::Enhanced,
        _ => settings.form,
    };
    let multitrack = wish("multitrack").map_or(settings.multitrack, |(_, wanted)| wanted == "1");
    Dialect { form, multitrack, color_info: form == Form::Enhanced }
}

/// The HTTP or WebSocket side of a viewer that has joined.
struct Viewer {
    tenure: Tenure,
    _admitted: Admitted,
    /// Reads what a WebSocket viewer says.
    reader: Option<Reader>,
    /// Bytes that a plain viewer has sent for nobody.
    ignored: usize,
    actions: VecDeque<Action>,
    /// What a WebSocket is closed with: the viewer's own code, or that of its fault.
    close_code: Option<u16>,
}

impl Peer for Viewer {
    fn handle_input(&mut self, mut bytes: &[u8], _now: Instant) -> Result<(), EndReason> {
        let Some(reader) = &mut self.reader else {
            self.ignored = self.ignored.saturating_add(bytes.len());
            return if self.ignored <= MAX_IGNORED {
                Ok(())
            } else {
                Err(EndReason::Protocol("the viewer sends instead of reading".into()))
            };
        };
        while !bytes.is_empty() && self.close_code.is_none() {
            match reader.decode(&mut bytes) {
                Ok(Some(Event::Ping(payload))) => {
                    self.actions.push_back(Action::Send(pong_frame(&payload)));
                }
                // RFC 6455 §5.5.1: a Close is answered with one.
                Ok(Some(Event::Close { code, .. })) => {
                    self.close_code = Some(code.unwrap_or(1000));
                    self.actions.push_back(Action::Leave);
                }
                // Players say nothing that a live stream would heed.
                Ok(Some(Event::Text(_) | Event::Binary(_) | Event::Pong(_))) => {}
                Ok(None) => break,
                Err(error) => {
                    self.close_code = Some(error.close_code());
                    return Err(EndReason::Protocol(error.to_string()));
                }
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), EndReason> {
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn farewell(&mut self, reason: &EndReason) -> Bytes {
        if self.reader.is_none() {
            return Bytes::new();
        }
        let code = match reason {
            EndReason::StreamEnded => 1000,
            EndReason::Shutdown => 1001,
            EndReason::Protocol(_) => self.close_code.unwrap_or(1002),
            _ => 1008,
        };
        close_frame(code, &reason.to_string())
    }

    fn released(mut self: Box<Self>, conn: Conn, remains: Bytes, shard: &Rc<Shard>) {
        let mut last_words = BytesMut::from(&remains[..]);
        last_words.extend_from_slice(&close_frame(self.close_code.unwrap_or(1000), ""));
        shard.spawn(async move {
            self.tenure.end(&EndReason::PeerClosed);
            conn.close(last_words.freeze()).await;
        });
    }

    fn ended(&mut self, reason: &EndReason) {
        self.tenure.end(reason);
    }
}
