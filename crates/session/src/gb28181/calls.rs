//! Calls: channels that were asked to send, each of which is a reception.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::gb28181::id::Id;
use ::gb28181::platform::{CallId, EndedBy, Failure, Invite, Platform};
use ::gb28181::sdp::{Answer, Kind, Transport};
use ::gb28181::ssrc::Ssrc;
use hub::{EndReason, Event, Session, SessionId, StreamName, Targets, events};
use tracing::{info, warn};

use super::Devices;
use crate::ps::{Order, Payload, Way};
use crate::relay::Retry;

/// The port that is named where we make the connection: nobody listens there (RFC 4145 §4.1).
const DISCARD: u16 = 9;

/// How calls that came to nothing follow each other while somebody wants to watch.
const RETRY: Retry = Retry { min: Duration::from_secs(2), max: Duration::from_secs(30) };

/// Calls there may be, those included that wait to be made again: as many streams as a server
/// receives.
const MAX_CALLS: usize = 10_000;

/// How long a device may send nothing live, at most, until it is called again: it has restarted, or
/// the network is another. Half of that it may take to answer the call.
const LIVE_IDLE: Duration = Duration::from_secs(30);

/// How long a recording may wait that somebody has let wait, at least.
const RECORDING_IDLE: Duration = Duration::from_secs(600);

/// All calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_stream: HashMap<StreamName, Call>,
}

/// One channel that is asked for.
#[derive(Debug)]
struct Call {
    device: Id,
    channel: Id,
    kind: Kind,
    /// It goes on without viewers.
    keep: bool,
    /// When somebody last watched.
    wanted: Instant,
    failures: u32,
    /// Others know that the device sends.
    told: bool,
    /// Whether somebody lets the recording wait.
    paused: bool,
    /// How many bytes had come, and since when.
    progress: (u64, Instant),
    state: State,
}

#[derive(Debug)]
enum State {
    /// The device was asked, or sends.
    Called {
        id: CallId,
        ssrc: Ssrc,
        transport: Transport,
        /// What is received; nothing before the answer where we make the connection.
        session: Option<Arc<Session>>,
    },
    /// It is asked again then.
    Waits(Instant),
}

impl Call {
    fn id(&self) -> Option<CallId> {
        match &self.state {
            State::Called { id, .. } => Some(*id),
            State::Waits(_) => None,
        }
    }

    /// What others are told of it.
    fn told(&self, stream: &StreamName) -> events::Call {
        events::Call {
            stream: stream.clone(),
            device: self.device.as_str().into(),
            channel: self.channel.as_str().into(),
            recording: self.is_recording(),
        }
    }

    /// What ends with the call.
    fn session(&self) -> Option<&Arc<Session>> {
        match &self.state {
            State::Called { session, .. } => session.as_ref(),
            State::Waits(_) => None,
        }
    }

    /// Whether it is a recording that has sent nothing for so long, and was not told to wait.
    fn is_silent(&mut self, idle: Duration, now: Instant) -> bool {
        let Some(bytes) = self.session().map(|session| session.statistics().read_bytes) else {
            return false;
        };
        if bytes != self.progress.0 || self.paused {
            self.progress = (bytes, now);
        }
        self.is_recording() && now.saturating_duration_since(self.progress.1) >= idle
    }

    fn is_recording(&self) -> bool {
        self.kind != Kind::Live
    }
}

impl Calls {
    /// The call that brings a stream.
    pub(super) fn call_of(&self, stream: &StreamName) -> Option<CallId> {
        self.by_stream.get(stream)?.id()
    }

    /// Somebody lets a recording wait, or go on.
    pub(super) fn set_paused(&mut self, stream: &StreamName, paused: bool, now: Instant) {
        if let Some(call) = self.by_stream.get_mut(stream) {
            (call.paused, call.progress.1) = (paused, now);
        }
    }

    /// Somebody wants to watch.
    pub(super) fn play(
        &mut self,
        platform: &mut Platform,
        devices: &Devices,
        stream: StreamName,
        (device, channel, kind, keep): (Id, Id, Kind, bool),
        now: Instant,
    ) {
        if let Some(call) = self.by_stream.get_mut(&stream) {
            call.wanted = now;
            call.keep |= keep;
            return;
        }
        if self.by_stream.len() >= MAX_CALLS {
            return warn!(%stream, %device, "the device is not asked: there are too many calls");
        }
        let state = State::Waits(now);
        let (failures, told, paused, progress) = (0, false, false, (0, now));
        let wanted = now;
        let call =
            Call { device, channel, kind, keep, wanted, failures, told, paused, progress, state };
        devices.table.lock().set_called(&stream, true);
        self.by_stream.insert(stream.clone(), call);
        self.begin(platform, devices, &stream, now);
    }

    /// Asks the device.
    fn begin(
        &mut self,
        platform: &mut Platform,
        devices: &Devices,
        stream: &StreamName,
        now: Instant,
    ) {
        let Some(call) = self.by_stream.get_mut(stream) else { return };
        match invite(platform, devices, stream, call, now) {
            Ok(state) => {
                info!(%stream, device = %call.device, channel = %call.channel, "device is asked");
                call.state = state;
            }
            Err(text) => {
                warn!(%stream, device = %call.device, why = text, "the device cannot be asked");
                self.again(devices, stream, now);
            }
        }
    }

    /// The device has answered, and will send.
    pub(super) fn answered(
        &mut self,
        platform: &mut Platform,
        devices: &Devices,
        id: CallId,
        answer: Option<&Answer>,
        now: Instant,
    ) {
        let Some((stream, call)) = self.find(id) else { return };
        let (device, kind) = (call.device, call.kind);
        let State::Called { ssrc, transport, session, .. } = &mut call.state else { return };
        let told = answer.and_then(|answer| answer.ssrc).filter(|ssrc| ssrc.0 != 0);
        if *transport == Transport::TcpActive {
            let home = devices.table.lock().address_of(device).map(|address| address.ip());
            let port = answer.map(|answer| answer.port).filter(|port| *port > 0);
            let opened = match (home, port) {
                (Some(home), Some(port)) => {
                    let host = media_host(home, answer.and_then(|answer| answer.address));
                    let is_home = host == home;
                    let way = Way::Connect { host: host.to_string(), port, is_home };
                    let ssrc = told.unwrap_or(*ssrc);
                    let order = order(devices, &stream, kind, way, ssrc, home);
                    devices.ps.open(order).map_err(|error| error.to_string())
                }
                _ => Err("the device does not say where to connect to".to_owned()),
            };
            match opened {
                Ok(opened) => *session = Some(opened.session),
                Err(why) => {
                    warn!(%stream, why, "what the device sends is not received");
                    // It is not to go on for nobody. The call may be over: that will do.
                    let _ = platform.bye(id, now);
                    return self.again(devices, &stream, now);
                }
            }
        } else {
            if let Some(told) = told.filter(|told| told != ssrc)
                && let Err(error) = devices.ps.set_ssrc(&stream, told.0)
            {
                warn!(%stream, %error, "the device sends with an SSRC that another one has");
            }
            if let Some(address) = answer.and_then(|answer| answer.address) {
                devices.ps.expect_from(&stream, address);
            }
        }
        if let Some((_, call)) = self.find(id) {
            call.failures = 0;
        }
        self.begun(devices, &stream);
    }

    /// The device sends: others are told so once.
    fn begun(&mut self, devices: &Devices, stream: &StreamName) {
        let Some(call) = self.by_stream.get_mut(stream) else { return };
        if call.id().is_some() && !call.told {
            call.told = true;
            devices.context.events.emit(&Event::CallStarted(call.told(stream)));
        }
    }

    /// The device sends no more.
    fn over(&mut self, devices: &Devices, stream: &StreamName, reason: &str) {
        let Some(call) = self.by_stream.get_mut(stream) else { return };
        if std::mem::take(&mut call.told) {
            let (call, reason) = (call.told(stream), reason.to_owned());
            devices.context.events.emit(&Event::CallEnded { call, reason });
        }
    }

    /// The device did not answer as it should.
    pub(super) fn failed(&mut self, devices: &Devices, id: CallId, why: &Failure, now: Instant) {
        let Some((stream, _)) = self.find(id) else { return };
        let text = match why {
            Failure::Refused { status, reason } => format!("the device says {status} {reason}"),
            Failure::NoAnswer => "the device does not answer".to_owned(),
            Failure::Gone => "the device is gone".to_owned(),
            Failure::NotDone => "the device could not".to_owned(),
        };
        warn!(%stream, why = text, "the device does not send");
        self.over(devices, &stream, &text);
        self.drop_session(&stream, &EndReason::Refused(text));
        self.again(devices, &stream, now);
    }

    /// A call that was answered is over.
    pub(super) fn ended(&mut self, devices: &Devices, id: CallId, by: EndedBy, now: Instant) {
        let Some((stream, _)) = self.find(id) else { return };
        self.over(
            devices,
            &stream,
            match by {
                EndedBy::Device => "the device has ended it",
                EndedBy::Loss => "the device is gone",
                EndedBy::Platform => "nobody wants it any more",
            },
        );
        self.drop_session(&stream, &EndReason::PeerClosed);
        match by {
            EndedBy::Device | EndedBy::Loss => self.again(devices, &stream, now),
            EndedBy::Platform => {}
        }
    }

    /// A device has registered: what waits for it need not wait any longer.
    pub(super) fn registered(&mut self, device: Id, now: Instant) {
        for call in self.by_stream.values_mut().filter(|call| call.device == device) {
            if let State::Waits(until) = &mut call.state {
                (*until, call.failures) = (now, 0);
            }
        }
    }

    /// A recording was sent to its end.
    pub(super) fn media_ended(
        &mut self,
        platform: &mut Platform,
        devices: &Devices,
        id: CallId,
        now: Instant,
    ) {
        if let Some((stream, _)) = self.find(id) {
            self.end(platform, devices, &stream, now);
        }
    }

    /// What was received is received no more.
    pub(super) fn session_ended(
        &mut self,
        platform: &mut Platform,
        devices: &Devices,
        stream: &StreamName,
        session: &SessionId,
        reason: &EndReason,
        now: Instant,
    ) {
        let Some(call) = self.by_stream.get(stream) else { return };
        let Some(id) = call.id() else { return };
        if call.session().is_none_or(|known| known.id() != session) {
            return;
        }
        self.over(devices, stream, &reason.to_string());
        // It has ended, or never begun: either will do.
        let _ = platform.bye(id, now);
        match reason {
            // Somebody does not want it, or has something better.
            EndReason::Kicked | EndReason::TakenOver | EndReason::Shutdown => {
                self.forget(devices, stream);
            }
            _ => self.again(devices, stream, now),
        }
    }

    /// Ends a call.
    pub(super) fn end(
        &mut self,
        platform: &mut Platform,
        devices: &Devices,
        stream: &StreamName,
        now: Instant,
    ) {
        if let Some(id) = self.call_of(stream) {
            // It has ended, or never begun: either will do.
            let _ = platform.bye(id, now);
        }
        self.over(devices, stream, "nobody wants it any more");
        self.drop_session(stream, &EndReason::StreamEnded);
        self.forget(devices, stream);
    }

    /// Ends all calls.
    pub(super) fn end_all(&mut self, platform: &mut Platform, devices: &Devices, now: Instant) {
        let all: Vec<_> = self.by_stream.keys().cloned().collect();
        all.iter().for_each(|stream| self.end(platform, devices, stream, now));
    }

    /// Ends calls that nobody wants any more, and calls again what is still wanted.
    pub(super) fn look(&mut self, platform: &mut Platform, devices: &Devices, now: Instant) {
        let stop_after = devices.settings.load().stop_after;
        let idle = devices.context.settings.load().ps.idle;
        let (mut unwanted, mut due, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for (stream, call) in &mut self.by_stream {
            if devices.context.is_watched(stream) {
                call.wanted = now;
            }
            if !call.keep && now.saturating_duration_since(call.wanted) > stop_after {
                unwanted.push(stream.clone());
            } else if matches!(call.state, State::Waits(until) if until <= now) {
                due.push(stream.clone());
            } else if let Some(session) = call.session()
                && let Some(reason) = session.ending()
            {
                // The order that tells of it may have found no room.
                over.push((stream.clone(), session.id().clone(), reason));
            } else if !idle.is_zero() && call.is_silent(idle, now) {
                // Some devices do not say that a recording has come to its end.
                unwanted.push(stream.clone());
            }
        }
        for (stream, session, reason) in over {
            self.session_ended(platform, devices, &stream, &session, &reason, now);
        }
        for stream in unwanted {
            info!(%stream, "nobody watches, or nothing comes: the device is asked no more");
            self.end(platform, devices, &stream, now);
        }
        for stream in due {
            self.begin(platform, devices, &stream, now);
        }
    }

    fn find(&mut self, id: CallId) -> Option<(StreamName, &mut Call)> {
        let found = self.by_stream.iter_mut().find(|(_, call)| call.id() == Some(id));
        found.map(|(stream, call)| (stream.clone(), call))
    }

    /// The device is asked again in a while. Recordings are not: they would begin anew.
    fn again(&mut self, devices: &Devices, stream: &StreamName, now: Instant) {
        let Some(call) = self.by_stream.get_mut(stream) else { return };
        if call.is_recording() {
            return self.forget(devices, stream);
        }
        call.failures = call.failures.saturating_add(1);
        call.state = State::Waits(now + RETRY.wait(call.failures, devices.context.seed()));
    }

    fn drop_session(&mut self, stream: &StreamName, reason: &EndReason) {
        if let Some(session) = self.by_stream.get(stream).and_then(Call::session) {
            session.dispose(reason.clone());
        }
    }

    /// The stream is wanted no more.
    fn forget(&mut self, devices: &Devices, stream: &StreamName) {
        self.by_stream.remove(stream);
        devices.table.lock().set_called(stream, false);
        devices.context.end_stream(stream);
    }
}

/// Opens what the device is to send to, and asks it.
fn invite(
    platform: &mut Platform,
    devices: &Devices,
    stream: &StreamName,
    call: &Call,
    now: Instant,
) -> Result<State, String> {
    let settings = devices.settings.load();
    let peer = devices.table.lock().address_of(call.device).ok_or("it is not known")?;
    if !platform.is_online(call.device) {
        return Err("it is not online".to_owned());
    }
    let ssrc = platform.ssrc(call.is_recording()).ok_or("there is no SSRC left")?;
    let way = match (settings.transport, settings.shared) {
        (Transport::TcpActive, _) => None,
        (_, true) => Some(Way::Shared),
        (Transport::Udp, false) => Some(Way::Datagrams(None)),
        (Transport::TcpPassive, false) => Some(Way::Listen(None)),
    };
    let opened = match way {
        Some(way) => {
            let order = order(devices, stream, call.kind, way, ssrc, peer.ip());
            Some(devices.ps.open(order).map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let address = match settings.media_address {
        Some(address) => address,
        None => net::address_towards(peer).map_err(|error| error.to_string())?,
    };
    let invite = Invite {
        kind: call.kind,
        address,
        port: opened.as_ref().map_or(DISCARD, |opened| opened.port),
        transport: settings.transport,
        ssrc,
    };
    let session = opened.map(|opened| opened.session);
    match platform.invite(call.device, call.channel, &invite, now) {
        Ok(id) => Ok(State::Called { id, ssrc, transport: settings.transport, session }),
        Err(error) => {
            if let Some(session) = session {
                session.dispose(EndReason::Refused(error.to_string()));
            }
            Err(error.to_string())
        }
    }
}

/// Where a device that has registered from `home` is connected to for its media: at the address that
/// it names, unless that can only be a mistake, or a trap. Behind address translation, devices name
/// what nobody outside can reach, and what may be somebody else here.
fn media_host(home: IpAddr, named: Option<IpAddr>) -> IpAddr {
    let is_public = |address| Targets::Public.admit(address);
    let is_host = |address: &IpAddr| match address.to_canonical() {
        IpAddr::V4(v4) => {
            let special = v4.is_unspecified() || v4.is_loopback() || v4.is_link_local();
            !(special || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    };
    let named = named.filter(is_host);
    named.filter(|named| is_public(*named) || !is_public(home)).unwrap_or(home)
}

fn order(
    devices: &Devices,
    stream: &StreamName,
    kind: Kind,
    way: Way,
    ssrc: Ssrc,
    from: IpAddr,
) -> Order {
    let idle = Some(devices.context.settings.load().ps.idle).filter(|idle| !idle.is_zero());
    let idle = idle.map(|idle| match kind {
        Kind::Live => idle.min(LIVE_IDLE),
        Kind::Playback { .. } => idle.max(RECORDING_IDLE),
    });
    Order {
        stream: stream.clone(),
        way,
        ssrc: Some(ssrc.0),
        from: Some(from),
        idle,
        payload: Payload::Ps,
        dump: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_connected_to_where_it_says_unless_that_is_a_trap() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let host = |home, named: &str| media_host(ip(home), named.parse().ok()).to_string();
        // A recorder whose media is on another card, on both kinds of networks.
        assert_eq!(host("192.168.1.9", "192.168.2.9"), "192.168.2.9");
        assert_eq!(host("8.8.8.8", "8.8.4.4"), "8.8.4.4");
        assert_eq!(host("192.168.1.9", "8.8.4.4"), "8.8.4.4");
        // Behind address translation.
        assert_eq!(host("8.8.8.8", "192.168.1.64"), "8.8.8.8");
        // This host, what the clouds tell their machines, and nobody.
        for named in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "239.0.0.1", ""] {
            assert_eq!(host("192.168.1.9", named), "192.168.1.9", "{named}");
        }
        assert_eq!(host("127.0.0.1", "127.0.0.1"), "127.0.0.1");
    }
}
