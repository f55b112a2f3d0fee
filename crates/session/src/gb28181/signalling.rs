//! The task that speaks with devices: it owns the protocol machine and the sockets.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Weak;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use ::gb28181::id::Id;
use ::gb28181::platform::{
    CommandError, CommandId, Event, Failure, Gone, Platform, Playback, Settings,
};
use ::gb28181::{Carrier, Peer};
use bytes::Bytes;
use hub::Event as Told;
use net::{Bound, Datagrams, Room};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

use super::calls::Calls;
use super::table::{Device, State};
use super::{Command, DeviceError, Devices, Recordings};

/// Datagrams that are taken in one turn; others on the shard get theirs then.
const DATAGRAMS_PER_TURN: usize = 64;

/// How often it is looked whether calls are still wanted.
const LOOK: Duration = Duration::from_millis(500);

/// What comes from connections.
pub(super) enum Arrival {
    /// There is one more; what is to be written goes to `out`.
    Opened { number: u64, out: mpsc::Sender<Bytes> },
    /// Something was said.
    Bytes { peer: Peer, bytes: Bytes },
    /// It has ended.
    Closed { number: u64 },
}

/// Speaks with devices until nobody gives orders any more.
pub(super) async fn run(
    devices: Weak<Devices>,
    settings: Settings,
    bound: Bound,
    mut orders: mpsc::Receiver<Command>,
    mut arrivals: mpsc::Receiver<Arrival>,
) {
    let socket = match bound.watch() {
        Ok(socket) => socket,
        Err(error) => return warn!(%error, "devices cannot be spoken with"),
    };
    let Some(seed) = devices.upgrade().map(|devices| seed(&devices)) else { return };
    let platform = Platform::new(settings, seed, Instant::now());
    let calls = Calls::default();
    let (connections, unasked, questions) = (HashMap::new(), BTreeSet::new(), HashMap::new());
    let refusals = Refusals::new(Instant::now());
    let mut speaker =
        Speaker { devices, platform, calls, socket, connections, unasked, questions, refusals };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut room = Room::for_any();
    loop {
        let timeout = speaker.platform.poll_timeout();
        let due = async {
            match timeout {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            came = receive(&speaker.socket, &mut room) => {
                for (bytes, peer) in came {
                    speaker.hear(peer, &bytes);
                }
            }
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => speaker.arrived(arrival),
                None => return,
            },
            order = orders.recv() => match order {
                Some(Command::End(done)) => {
                    speaker.end();
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Some(order) => speaker.order(order),
                None => return,
            },
            () = due => speaker.platform.handle_timeout(Instant::now()),
            _ = ticks.tick() => speaker.look(),
        }
        if !speaker.turn() {
            return;
        }
    }
}

/// What nobody can foresee.
fn seed(devices: &Devices) -> [u8; 32] {
    let mut seed = [0; 32];
    for part in seed.chunks_mut(8) {
        part.copy_from_slice(&devices.context.seed().to_le_bytes());
    }
    seed
}

/// Waits for datagrams, and takes those that are there.
async fn receive(socket: &Rc<Datagrams>, room: &mut Room) -> Vec<(Bytes, Peer)> {
    poll_fn(|cx| {
        let mut came = Vec::new();
        let mut taken = 0;
        while taken < DATAGRAMS_PER_TURN {
            let Poll::Ready(received) = socket.poll_receive(cx, room) else { break };
            taken += 1;
            // An error tells of a message that did not arrive.
            if let Ok((bytes, from)) = received {
                came.push((bytes, Peer::udp(canonical(from))));
            }
        }
        if taken == 0 { Poll::Pending } else { Poll::Ready(came) }
    })
    .await
}

/// IPv4 peers of a dual-stack socket are shown as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Who speaks.
struct Speaker {
    devices: Weak<Devices>,
    platform: Platform,
    calls: Calls,
    socket: Rc<Datagrams>,
    /// What is written to connections.
    connections: HashMap<u64, mpsc::Sender<Bytes>>,
    /// Devices that are still to be asked what they have.
    unasked: BTreeSet<Id>,
    /// Who waits for lists of recordings.
    questions: HashMap<CommandId, oneshot::Sender<Result<Recordings, DeviceError>>>,
    refusals: Refusals,
}

/// How often it is said that somebody is not let in: anybody can send any number of requests.
struct Refusals {
    left: u32,
    since: Instant,
    unsaid: u64,
}

impl Refusals {
    /// Lines at once, and after how long there may be another one.
    const BURST: u32 = 20;
    const AGAIN: Duration = Duration::from_secs(3);

    fn new(now: Instant) -> Self {
        Self { left: Self::BURST, since: now, unsaid: 0 }
    }

    /// Whether it is to be said; how many were not since the last time.
    fn say(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_millis() / Self::AGAIN.as_millis()).unwrap_or(u32::MAX);
        if more > 0 {
            (self.left, self.since) = (self.left.saturating_add(more).min(Self::BURST), now);
        }
        if self.left == 0 {
            self.unsaid += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Why a device is gone.
fn word(why: Gone) -> &'static str {
    match why {
        Gone::Silent => "it does not say any more that it is there",
        Gone::Expired => "its registration has run out",
        Gone::ConnectionClosed => "its connection has ended",
    }
}

impl Speaker {
    fn hear(&mut self, peer: Peer, bytes: &[u8]) {
        let now = Instant::now();
        self.platform.set_wall_clock(SystemTime::now(), now);
        if let Err(error) = self.platform.handle_input(peer, bytes, now) {
            debug!(peer = %peer.address, proto = "SIP", %error, "is not understood");
            if let Carrier::Tcp(number) = peer.carrier {
                // What was answered goes out before the connection ends.
                self.transmit();
                self.close(number);
            }
        }
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Opened { number, out } => drop(self.connections.insert(number, out)),
            Arrival::Bytes { peer, bytes } => self.hear(peer, &bytes),
            Arrival::Closed { number } => self.close(number),
        }
    }

    fn close(&mut self, number: u64) {
        self.connections.remove(&number);
        self.platform.handle_closed(number);
    }

    fn order(&mut self, order: Command) {
        let Some(devices) = self.devices.upgrade() else { return };
        let now = Instant::now();
        let done = match order {
            Command::Play { stream, device, channel, kind, keep } => {
                let wanted = (device, channel, kind, keep);
                self.calls.play(&mut self.platform, &devices, stream, wanted, now);
                return;
            }
            Command::Stop(stream) => {
                self.calls.end(&mut self.platform, &devices, &stream, now);
                return;
            }
            Command::Ended { stream, session, reason } => {
                self.calls.session_ended(
                    &mut self.platform,
                    &devices,
                    &stream,
                    &session,
                    &reason,
                    now,
                );
                return;
            }
            Command::Playback { stream, playback } => match self.calls.call_of(&stream) {
                Some(call) => {
                    let paused = playback == Playback::Pause;
                    self.calls.set_paused(&stream, paused, now);
                    self.platform.playback(call, playback, now)
                }
                None => return,
            },
            Command::Recordings { device, channel, span, answer } => {
                match self.platform.recordings(device, channel, span, now) {
                    Ok(command) => drop(self.questions.insert(command, answer)),
                    // Whoever asked may have gone.
                    Err(error) => {
                        drop(
                            answer.send(Err(DeviceError::Failed(format!("is not asked: {error}")))),
                        );
                    }
                }
                return;
            }
            Command::Catalogue(device) => self.platform.catalog(device, now),
            Command::Control { device, channel, control } => {
                self.platform.control(device, channel, control, now)
            }
            Command::End(_) => return,
        };
        if let Err(error) = done {
            warn!(%error, "a device was not told");
        }
    }

    /// Ends all calls.
    fn end(&mut self) {
        if let Some(devices) = self.devices.upgrade() {
            self.calls.end_all(&mut self.platform, &devices, Instant::now());
        }
        self.transmit();
    }

    /// Looks which calls are still wanted, and which devices are still to be asked something.
    fn look(&mut self) {
        if let Some(devices) = self.devices.upgrade() {
            self.calls.look(&mut self.platform, &devices, Instant::now());
        }
        self.ask_catalogues(Instant::now());
    }

    /// Asks devices what they have, as many as may be asked at once.
    fn ask_catalogues(&mut self, now: Instant) {
        while let Some(device) = self.unasked.pop_first() {
            if let Err(CommandError::TooMany(_)) = self.platform.catalog(device, now) {
                self.unasked.insert(device);
                return;
            }
        }
    }

    /// Sends what is to be sent, and works off what has happened. `false` when it is all over.
    fn turn(&mut self) -> bool {
        let Some(devices) = self.devices.upgrade() else { return false };
        while let Some(event) = self.platform.poll_event() {
            self.event(&devices, event);
        }
        self.transmit();
        true
    }

    fn transmit(&mut self) {
        while let Some((peer, message)) = self.platform.poll_transmit() {
            match peer.carrier {
                Carrier::Udp => {
                    // What is lost is sent again.
                    if let Err(error) = self.socket.send_to(&message, peer.address) {
                        debug!(peer = %peer.address, proto = "SIP", %error, "cannot be sent to");
                    }
                }
                Carrier::Tcp(number) => {
                    let out = self.connections.get(&number);
                    if out.is_some_and(|out| out.try_send(message).is_err()) {
                        debug!(peer = %peer.address, proto = "SIP", "the device does not read");
                        self.close(number);
                    }
                }
            }
        }
    }

    /// A device cannot be spoken with any more.
    fn gone(&self, devices: &Devices, device: Id, reason: &str, time: SystemTime) {
        devices.table.lock().gone(device, time);
        let (device, reason) = (device.as_str().into(), reason.to_owned());
        devices.context.events.emit(&Told::DeviceOffline { device, reason });
    }

    fn event(&mut self, devices: &Devices, event: Event) {
        let (now, time) = (Instant::now(), SystemTime::now());
        let table = &devices.table;
        match event {
            Event::Registered { device, peer, again, version, user_agent } => {
                let address = peer.address;
                let is_new = !again || !table.lock().is_online(device);
                let transport = if peer.is_lossy() { "UDP" } else { "TCP" };
                let before = table.lock().address_of(device).filter(|_| !is_new);
                if before.is_some_and(|before| before.ip() != address.ip()) {
                    // If that happens again and again, two devices have the same id.
                    info!(%device, peer = %address, before = ?before, "device has moved");
                }
                table.lock().registered(Device {
                    id: device,
                    state: State::Online,
                    address,
                    transport,
                    since: time,
                    alive: time,
                    version,
                    user_agent,
                    info: None,
                    channels: Vec::new(),
                    complete: false,
                    alarm: None,
                });
                if devices.listens_anywhere
                    && devices.settings.load().media_address.is_none()
                    && let Ok(local) = net::address_towards(address)
                {
                    let port = self.platform.settings().address.port();
                    self.platform.set_local(device, SocketAddr::new(local, port));
                }
                self.calls.registered(device, now);
                if is_new {
                    info!(%device, peer = %address, transport, "device is online");
                    // It has a name without it, too.
                    let _ = self.platform.device_info(device, now);
                    self.unasked.insert(device);
                    self.ask_catalogues(now);
                    let device = device.as_str().into();
                    devices.context.events.emit(&Told::DeviceOnline { device, address, transport });
                }
            }
            Event::RegistrationRefused { device, peer, why } => {
                if let Some(unsaid) = self.refusals.say(now) {
                    warn!(%device, peer = %peer.address, why, unsaid, "device is not let in");
                }
            }
            Event::Unregistered { device } => {
                info!(%device, "device has left");
                self.gone(devices, device, "it has left", time);
            }
            Event::Offline { device, why } => {
                warn!(%device, ?why, "device is gone");
                self.gone(devices, device, word(why), time);
            }
            Event::Alive { device, .. } => table.lock().change(device, |known| known.alive = time),
            Event::Catalogue { device, channels, complete, .. } => {
                info!(%device, channels = channels.len(), complete, "catalogue of a device");
                table.lock().set_channels(device, channels, complete);
            }
            Event::CatalogueChanged { device, channels } => {
                table.lock().change_channels(device, channels);
            }
            Event::DeviceInfo { device, info } => {
                table.lock().change(device, |known| known.info = Some(info));
            }
            Event::Alarm { device, source, alarm } => {
                warn!(%device, %source, time = alarm.time, text = alarm.description, "alarm");
                devices.context.events.emit(&Told::DeviceAlarm {
                    device: device.as_str().into(),
                    source: source.as_str().into(),
                    time: alarm.time.clone(),
                    text: alarm.description.clone(),
                });
                let text = format!("{} {source} {}", alarm.time, alarm.description);
                table.lock().change(device, |known| known.alarm = Some(text));
            }
            Event::Recordings { command, recordings: items, complete, .. } => {
                if let Some(answer) = self.questions.remove(&command) {
                    // Whoever asked may have gone.
                    let _ = answer.send(Ok(Recordings { items, complete }));
                }
            }
            Event::CommandFailed { device, command, why } => {
                warn!(%device, ?why, "a device did not do what it was told");
                if let Some(answer) = self.questions.remove(&command) {
                    let text = match why {
                        Failure::Refused { status, reason } => format!("says {status} {reason}"),
                        Failure::NoAnswer => "does not answer".to_owned(),
                        Failure::Gone => "is gone".to_owned(),
                        Failure::NotDone => "could not".to_owned(),
                    };
                    let _ = answer.send(Err(DeviceError::Failed(text)));
                }
            }
            Event::CallAnswered { call, answer } => {
                self.calls.answered(&mut self.platform, devices, call, answer.as_ref(), now);
            }
            Event::CallFailed { call, why } => self.calls.failed(devices, call, &why, now),
            Event::CallEnded { call, by } => self.calls.ended(devices, call, by, now),
            Event::MediaEnded { call } => {
                self.calls.media_ended(&mut self.platform, devices, call, now);
            }
            Event::DeviceStatus { .. } | Event::Position { .. } | Event::CommandDone { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_do_not_fill_the_log() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        let said = (0..1000).filter(|_| refusals.say(now).is_some()).count();
        assert_eq!(said, 20);
        assert_eq!(refusals.say(now + Refusals::AGAIN), Some(980));
        assert_eq!(refusals.say(now + Refusals::AGAIN), None);
    }
}
