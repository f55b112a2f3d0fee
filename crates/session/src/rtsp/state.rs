//! What a connection's requests come to: who asks, for which stream, and whether it may.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ::rtsp::message::Status;
use ::rtsp::server::{Event, Session as Machine};
use ::rtsp::transport::Transport;
use ::rtsp::url::Target;
use hub::gate::{Action, Credentials, Denial, Proof};
use hub::{Address, EndReason, Kind, Protocol, PublishError, Role, StreamName, Waiting};
use tracing::info;

use super::publisher::Publisher;
use super::setup::{self, Playing};
use super::{Next, Purpose, Rtsp};
use crate::admission::Admitted;
use crate::context::Tenure;
use crate::via;

/// What a connection keeps when it becomes a viewer.
pub(super) struct State {
    pub(super) rtsp: Arc<Rtsp>,
    pub(super) settings: Arc<crate::Settings>,
    pub(super) machine: Machine,
    /// Shared with what carries the connection, if anything does.
    pub(super) admitted: Rc<Admitted>,
    /// The address that the peer has connected to; none if the connection is carried in another.
    pub(super) local: Option<SocketAddr>,
    /// Begins when the peer says what it wants.
    pub(super) tenure: Option<Tenure>,
    pub(super) read: u64,
    pub(super) written: u64,
}

/// A request that waits for a stream.
pub(super) struct Pending {
    pub(super) waiting: Waiting,
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) request: Asked,
}

/// What was asked for before the stream was there.
pub(super) enum Asked {
    Describe { uri: String },
    Setup { uri: String, transports: Vec<Transport> },
}

impl State {
    /// Does what the peer wants, or says why not.
    pub(super) async fn answer(
        &mut self,
        event: Event,
        purpose: &mut Purpose,
        pending: &mut Option<Pending>,
    ) -> Result<Next, EndReason> {
        let now = Instant::now();
        match event {
            Event::Data { channel, payload } => {
                if let Some(receiving) = purpose.receiving() {
                    receiving.interleaved(channel, &payload, now)?;
                }
            }
            Event::Tunnel { post, cookie } => return Ok(Next::Tunnel { post, cookie }),
            Event::Announce { target, uri, description } => {
                self.announce(&target, uri, &description.media, purpose).await;
            }
            Event::Describe { target, uri } => match purpose {
                // What was set up of a stream stays so, and is of no use for another.
                Purpose::Playing(playing) if playing.has_tracks() => match self.name_of(&target) {
                    Ok(name) if name == *playing.name() => playing.describe(self, &uri),
                    _ => self.machine.reject(Status::NOT_VALID_IN_STATE, ""),
                },
                _ => {
                    let asked = Asked::Describe { uri: uri.clone() };
                    *pending = self.watch(&target, uri, asked, purpose, now).await;
                }
            },
            Event::Setup { uri, transports } => match purpose {
                Purpose::Publishing(publisher) => publisher.setup(self, &uri, &transports),
                Purpose::Playing(playing) => playing.setup(self, &uri, &transports),
                // Some players know a track's address by heart.
                Purpose::Unknown | Purpose::Attending(_) => {
                    let stream = setup::without_track(&uri).to_owned();
                    let target = Target::parse(&stream);
                    let asked = Asked::Setup { uri, transports };
                    *pending = self.watch(&target, stream, asked, purpose, now).await;
                }
            },
            Event::Play => match std::mem::replace(purpose, Purpose::Unknown) {
                Purpose::Playing(playing)
                    if playing.is_one_too_many(self.settings.rtsp.packet_size) =>
                {
                    *purpose = Purpose::Playing(playing);
                    let text = "Too Many Choices Of Channels";
                    self.machine.reject(Status::NOT_ENOUGH_BANDWIDTH, text);
                }
                Purpose::Playing(playing) if playing.has_tracks() => {
                    return Ok(Next::Play(playing));
                }
                // The last track may have been given up by a SETUP that was refused.
                other => {
                    *purpose = other;
                    self.machine.reject(Status::NOT_VALID_IN_STATE, "");
                }
            },
            Event::Record => match purpose {
                Purpose::Publishing(publisher) => publisher.record(self, now)?,
                _ => self.machine.reject(Status::NOT_VALID_IN_STATE, ""),
            },
            Event::Pause => self.machine.reject(Status::NOT_VALID_IN_STATE, ""),
            // The others would go with it.
            Event::Teardown { uri } if purpose.has_more_than(&uri) => {
                self.machine.reject(Status::ONLY_AGGREGATE_ALLOWED, "");
            }
            Event::Teardown { .. } => {
                if let Purpose::Attending(attending) = purpose {
                    attending.publish_totals(self);
                }
                *purpose = Purpose::Unknown;
                self.machine.accept();
                self.end(&EndReason::PeerClosed);
            }
        }
        Ok(Next::GoOn)
    }

    /// The peer wants to publish: it is refused before any success is said, or the stream is its.
    async fn announce(
        &mut self,
        target: &Target,
        uri: String,
        media: &[::rtp::sdp::Media],
        purpose: &mut Purpose,
    ) {
        let formats: Vec<_> = media.iter().map(::rtp::format::Format::of).collect();
        if formats.iter().all(Result::is_err) {
            let text = "No Medium With A Known Payload Type";
            self.machine.reject(Status::UNSUPPORTED_MEDIA, text);
            return;
        }
        let name = match self.open(Role::Pub, target, uri, purpose) {
            Ok(name) => name,
            Err(text) => return self.refuse(Status::BAD_REQUEST, text),
        };
        if let Err(denial) = self.ask(Action::Publish, &name).await {
            return self.deny(denial);
        }
        let Some(tenure) = &self.tenure else { return };
        let session = tenure.session();
        match self.rtsp.context.publish(session, &name) {
            Ok(publication) => {
                let publisher = Publisher::new(publication, session.clone(), media, formats);
                *purpose = Purpose::Publishing(Box::new(publisher));
                self.machine.accept();
            }
            Err(error @ PublishError::Occupied(_)) => {
                self.refuse(Status::FORBIDDEN, error.to_string());
            }
            Err(error) => self.refuse(Status::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }

    /// Begins to wait for a stream that a viewer asks for.
    async fn watch(
        &mut self,
        target: &Target,
        url: String,
        request: Asked,
        purpose: &mut Purpose,
        now: Instant,
    ) -> Option<Pending> {
        match self.open(Role::Sub, target, url, purpose) {
            Ok(name) => {
                if let Err(denial) = self.ask(Action::Play, &name).await {
                    self.deny(denial);
                    return None;
                }
                let waiting = self.rtsp.context.registry.watch(&name);
                let until = now + waiting.patience(self.settings.wait_for_stream);
                Some(Pending { waiting, since: now, until, request })
            }
            Err(text) => {
                self.refuse(Status::BAD_REQUEST, text);
                None
            }
        }
    }

    /// Answers what was asked for before the stream was there.
    pub(super) fn stream_is_ready(&mut self, ready: Pending, purpose: &mut Purpose) {
        let Pending { waiting, request, .. } = ready;
        match Playing::new(waiting, self.tenure.as_ref()) {
            Ok(mut playing) => {
                match request {
                    Asked::Describe { uri } => playing.describe(self, &uri),
                    Asked::Setup { uri, transports } => playing.setup(self, &uri, &transports),
                }
                *purpose = Purpose::Playing(Box::new(playing));
            }
            Err(text) => self.refuse(Status::UNSUPPORTED_MEDIA, text),
        }
    }

    /// The peer has said what it wants: its session begins, and `purpose` is open again.
    fn open(
        &mut self,
        role: Role,
        target: &Target,
        uri: String,
        purpose: &mut Purpose,
    ) -> Result<StreamName, String> {
        if let Purpose::Publishing(_) = purpose {
            return Err("a publisher asks for something else".to_owned());
        }
        let key = self.name_of(target)?;
        let (app, name) = split(target);
        // A second request of the kind, such as a DESCRIBE after an answer of 404.
        self.end(&EndReason::PeerClosed);
        *purpose = Purpose::Unknown;
        let kind = Kind { protocol: Protocol::Rtsp, role };
        let tenure = self.rtsp.context.open(kind, Some(self.admitted.peer()));
        let address = Address {
            url: uri,
            app_name: app.to_owned(),
            stream_name: name.to_owned(),
            raw_query: target.query.clone(),
            via: via::read(self.machine.via()),
        };
        tenure.session().assume(role, address);
        self.tenure = Some(tenure);
        Ok(key)
    }

    fn name_of(&self, target: &Target) -> Result<StreamName, String> {
        let (app, name) = split(target);
        self.settings.stream_name(app, name).map_err(|error| error.to_string())
    }

    /// Asks whether the client may do something; a viewer takes part in the stream then.
    async fn ask(&mut self, action: Action, name: &StreamName) -> Result<(), Denial> {
        let Some(tenure) = &self.tenure else { return Ok(()) };
        let credentials = self.machine.presented().map_or_else(Credentials::default, |presented| {
            let user = Some(presented.user().to_owned());
            let proof = match presented.password() {
                Some(password) => Proof::Password(password.to_owned()),
                None => Proof::Digest(Arc::new(move |password| presented.proves(password))),
            };
            Credentials { user, proof: Some(proof), token: None }
        });
        let since = Instant::now();
        let answer = tenure.ask(action, Some(name), credentials).await;
        self.machine.excuse(since.elapsed());
        answer?;
        if action == Action::Play { tenure.join(name) } else { Ok(()) }
    }

    fn deny(&mut self, denial: Denial) {
        match denial {
            Denial::Unknown(text) => {
                self.machine.challenge();
                self.end(&EndReason::Refused(text));
            }
            Denial::Unavailable(text) => self.refuse(Status::SERVICE_UNAVAILABLE, text),
            other => self.refuse(Status::FORBIDDEN, other.to_string()),
        }
    }

    fn refuse(&mut self, status: Status, text: String) {
        self.machine.reject(status, &text);
        if self.tenure.is_none() {
            // There is no session whose end would say it.
            info!(peer = %self.admitted.peer(), proto = "RTSP", why = text, "refused");
        }
        self.end(&EndReason::Refused(text));
    }

    /// The session ends, if one has begun.
    pub(super) fn end(&mut self, reason: &EndReason) {
        if let Some(mut tenure) = self.tenure.take() {
            // What came as datagrams is in them already.
            let moved = tenure.session().statistics();
            let (read, written) = (moved.read_bytes, moved.written_bytes);
            tenure.session().set_totals(self.read.max(read), self.written.max(written));
            tenure.end(reason);
        }
    }
}

/// The application and the stream in a path.
fn split(target: &Target) -> (&str, &str) {
    target.path.rsplit_once('/').unwrap_or(("", &target.path))
}
