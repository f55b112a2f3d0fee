//! The task that speaks with devices: it owns the protocol machine and the sockets.

use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Weak;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use ::gb28181::platform::{Event, Platform, Settings};
use ::gb28181::{Carrier, Peer};
use bytes::Bytes;
use net::{Bound, Datagrams, Room};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

use super::calls::Calls;
use super::table::{Device, State};
use super::{Command, Devices};

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
    let mut speaker = Speaker { devices, platform, calls, socket, connections: HashMap::new() };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut room = Room::default();
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
fn canonical(address: std::net::SocketAddr) -> std::net::SocketAddr {
    std::net::SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Who speaks.
struct Speaker {
    devices: Weak<Devices>,
    platform: Platform,
    calls: Calls,
    socket: Rc<Datagrams>,
    /// What is written to connections.
    connections: HashMap<u64, mpsc::Sender<Bytes>>,
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
                Some(call) => self.platform.playback(call, playback, now),
                None => return,
            },
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

    /// Looks which calls are still wanted.
    fn look(&mut self) {
        if let Some(devices) = self.devices.upgrade() {
            self.calls.look(&mut self.platform, &devices, Instant::now());
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

    fn event(&mut self, devices: &Devices, event: Event) {
        let (now, time) = (Instant::now(), SystemTime::now());
        let table = &devices.table;
        match event {
            Event::Registered { device, peer, again, version, user_agent } => {
                let address = peer.address;
                let is_new = !again || !table.lock().is_online(device);
                let transport = if peer.is_lossy() { "UDP" } else { "TCP" };
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
                    alarm: None,
                });
                if is_new {
                    info!(%device, peer = %address, transport, "device is online");
                    // What fails here can be asked for again by operators.
                    let _ = self.platform.device_info(device, now);
                    let _ = self.platform.catalog(device, now);
                }
            }
            Event::RegistrationRefused { device, peer, why } => {
                warn!(%device, peer = %peer.address, why, "device is not let in");
            }
            Event::Unregistered { device } => {
                info!(%device, "device has left");
                table.lock().gone(device, time);
            }
            Event::Offline { device, why } => {
                warn!(%device, ?why, "device is gone");
                table.lock().gone(device, time);
            }
            Event::Alive { device, .. } => table.lock().change(device, |known| known.alive = time),
            Event::Catalogue { device, channels, complete, .. } => {
                info!(%device, channels = channels.len(), complete, "catalogue of a device");
                table.lock().change(device, |known| known.channels = channels);
            }
            Event::CatalogueChanged { device, channels } => table.lock().change(device, |known| {
                for channel in channels {
                    known.channels.retain(|other| other.id != channel.id);
                    if channel.event.as_deref() != Some("DEL") {
                        known.channels.push(channel);
                    }
                }
            }),
            Event::DeviceInfo { device, info } => {
                table.lock().change(device, |known| known.info = Some(info));
            }
            Event::Alarm { device, source, alarm } => {
                warn!(%device, %source, time = alarm.time, text = alarm.description, "alarm");
                let text = format!("{} {source} {}", alarm.time, alarm.description);
                table.lock().change(device, |known| known.alarm = Some(text));
            }
            Event::CommandFailed { device, why, .. } => {
                warn!(%device, ?why, "a device did not do what it was told");
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
