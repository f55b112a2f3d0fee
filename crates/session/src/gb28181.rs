//! Cameras and recorders of GB/T 28181: they register by SIP, tell what they have, and are asked to
//! send when somebody wants to watch.
//!
//! [`Devices`] is the face for others: what is known of devices (`table`), and orders. One task of
//! a shard does the talking (`signalling`): it owns the protocol machine and the sockets, and keeps
//! the calls (`calls`), each of which is a reception of [`crate::ps`]. Media does not pass here.

mod calls;
mod connection;
mod signalling;
mod table;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hub::{Address, EndReason, Event, NameError, Observer, Protocol, SessionId, StreamName};
use net::{Bound, Connecting, Listening, Shards};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub use ::gb28181::id::Id;
pub use ::gb28181::manscdp::{Channel, Control, DeviceInfo};
pub use ::gb28181::platform::{Playback, Recording, Settings as PlatformSettings};
pub use ::gb28181::ptz;
pub use ::gb28181::sdp::Transport;
pub use table::{Device, State};

use self::table::Table;
use crate::context::Context;
use crate::ps::Ps;
use crate::supplier::Supplier;

/// Orders that wait for the task: more than operators and viewers give at once.
const QUEUE: usize = 1024;

/// Rules of devices that may change while the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSettings {
    /// How packets come.
    pub transport: Transport,
    /// Whether they come to the port that all devices share.
    pub shared: bool,
    /// The address that devices are told to send to; the one that they reach without.
    pub media_address: Option<IpAddr>,
    /// How long a device goes on sending that nobody watches.
    pub stop_after: Duration,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            transport: Transport::Udp,
            shared: false,
            media_address: None,
            stop_after: Duration::from_secs(30),
        }
    }
}

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// It has not registered, or is gone.
    #[error("the device {0} is not online")]
    NotOnline(Id),
    /// Its streams cannot be named.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The stream is not asked for.
    #[error("no device was asked for the stream {0}")]
    NotCalled(StreamName),
    /// Too many orders wait.
    #[error("there are too many orders at once: try again")]
    Busy,
    /// The device has not done it.
    #[error("the device {0}")]
    Failed(String),
}

/// What a channel has recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recordings {
    /// By time.
    pub items: Vec<Recording>,
    /// Whether those are all that the device has announced.
    pub complete: bool,
}

/// What the task is told.
#[derive(Debug)]
enum Command {
    /// Somebody wants to watch. `keep` is for operators: the call goes on without viewers.
    Play { stream: StreamName, device: Id, channel: Id, kind: Kind, keep: bool },
    /// It is to end.
    Stop(StreamName),
    /// What a device has is asked again.
    Catalogue(Id),
    /// It is asked what a channel has recorded.
    Recordings {
        device: Id,
        channel: Id,
        span: (u64, u64),
        answer: oneshot::Sender<Result<Recordings, DeviceError>>,
    },
    /// A channel is to do something.
    Control { device: Id, channel: Id, control: Control },
    /// A recording is to go on otherwise.
    Playback { stream: StreamName, playback: Playback },
    /// What was received for a call is received no more.
    Ended { stream: StreamName, session: SessionId, reason: EndReason },
    /// All calls are to end; the answer comes when devices have been told.
    End(oneshot::Sender<()>),
}

use ::gb28181::sdp::Kind;

/// Devices that register here.
pub struct Devices {
    context: Arc<Context>,
    ps: Arc<Ps>,
    /// The application of their streams.
    app: String,
    /// Devices of several networks may reach us, each at another address.
    listens_anywhere: bool,
    settings: ArcSwap<DeviceSettings>,
    table: Mutex<Table>,
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").field("app", &self.app).finish_non_exhaustive()
    }
}

/// What SIP is spoken on, before anything is said.
#[derive(Debug)]
pub struct BoundSip {
    datagrams: Bound,
    listening: Listening,
}

impl BoundSip {
    /// Binds an address for datagrams and for connections.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(address: &str) -> io::Result<Self> {
        let (listening, datagrams) = Listening::bind_with(address, Bound::at)?;
        Ok(Self { datagrams, listening })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }
}

impl Devices {
    /// Speaks with devices on what is bound, by the rules of `platform`; what they send is received
    /// by `ps`. `app` is the application of their streams. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn start(
        context: &Arc<Context>,
        ps: &Arc<Ps>,
        shards: &Arc<Shards>,
        bound: BoundSip,
        platform: PlatformSettings,
        app: String,
    ) -> io::Result<Arc<Self>> {
        let (commands, orders) = mpsc::channel(QUEUE);
        let devices = Arc::new(Self {
            context: context.clone(),
            ps: ps.clone(),
            app,
            listens_anywhere: bound.address().ip().is_unspecified(),
            settings: ArcSwap::default(),
            table: Mutex::default(),
            commands,
        });
        let supplier: Weak<dyn Supplier> = Arc::<Self>::downgrade(&devices);
        context.add_supplier(supplier);
        context.events.add(Arc::new(Ear(Arc::downgrade(&devices))));
        let (input, arrivals) = mpsc::channel(QUEUE);
        // Whoever misses more keep-alives than it may is gone.
        let idle = platform.keepalive.saturating_mul(platform.misses + 1);
        let BoundSip { datagrams, listening } = bound;
        let listener = listening.start()?;
        let runtime = Handle::current();
        let (speaker, place) = (devices.clone(), shards.clone());
        runtime.spawn(async move {
            place
                .place(move |_| {
                    signalling::run(Arc::downgrade(&speaker), platform, datagrams, orders, arrivals)
                })
                .await;
        });
        let (context, place) = (context.clone(), Arc::downgrade(shards));
        runtime.spawn(async move {
            let mut number = 0;
            loop {
                let connecting: Connecting = tokio::select! {
                    connecting = listener.accept() => connecting,
                    // The task that speaks has ended with the server.
                    () = input.closed() => return,
                };
                let Some(shards) = place.upgrade() else { return };
                number += 1;
                let (context, input) = (context.clone(), input.clone());
                shards
                    .place(move |_| connection::serve(context, number, connecting, input, idle))
                    .await;
            }
        });
        Ok(devices)
    }

    /// Changes the rules for calls that begin from now on.
    pub fn set_settings(&self, settings: DeviceSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// How many devices are known, and what is known of those in this range, by id.
    #[must_use]
    pub fn list(&self, range: Range<usize>) -> (usize, Vec<Device>) {
        self.table.lock().list(range)
    }

    /// What is known of one.
    #[must_use]
    pub fn find(&self, device: Id) -> Option<Device> {
        self.table.lock().find(device)
    }

    /// The stream of a channel.
    ///
    /// # Errors
    /// [`DeviceError::Name`], which only the application can be the reason of.
    pub fn stream_of(&self, device: Id, channel: Id) -> Result<StreamName, DeviceError> {
        let settings = self.context.settings.load();
        let app = format!("{}/{device}", self.app);
        Ok(settings.stream_name(&app, channel.as_str())?)
    }

    /// Asks a channel to send until [`Devices::stop`]; the stream that it becomes. A recording is
    /// sent from `start` to `end`, in seconds since 1970.
    ///
    /// # Errors
    /// [`DeviceError`] says why not.
    pub fn play(
        &self,
        device: Id,
        channel: Id,
        recording: Option<(u64, u64)>,
    ) -> Result<StreamName, DeviceError> {
        self.check(device)?;
        let (stream, kind) = match recording {
            None => (self.stream_of(device, channel)?, Kind::Live),
            Some((start, end)) => {
                let settings = self.context.settings.load();
                let app = format!("{}/{device}", self.app);
                let name = format!("{channel}-{start}-{end}");
                (settings.stream_name(&app, &name)?, Kind::Playback { start, end })
            }
        };
        let order = Command::Play { stream: stream.clone(), device, channel, kind, keep: true };
        self.order(order)?;
        Ok(stream)
    }

    /// Ends the call that brings a stream.
    ///
    /// # Errors
    /// [`DeviceError::NotCalled`] if there is none.
    pub fn stop(&self, stream: &StreamName) -> Result<(), DeviceError> {
        if !self.table.lock().is_called(stream) {
            return Err(DeviceError::NotCalled(stream.clone()));
        }
        self.order(Command::Stop(stream.clone()))
    }

    /// Tells the sender of a recording how to go on.
    ///
    /// # Errors
    /// [`DeviceError::NotCalled`] if there is none.
    pub fn playback(&self, stream: &StreamName, playback: Playback) -> Result<(), DeviceError> {
        if !self.table.lock().is_called(stream) {
            return Err(DeviceError::NotCalled(stream.clone()));
        }
        self.order(Command::Playback { stream: stream.clone(), playback })
    }

    /// Asks again what a device has.
    ///
    /// # Errors
    /// [`DeviceError`] says why not.
    pub fn refresh(&self, device: Id) -> Result<(), DeviceError> {
        self.check(device)?;
        self.order(Command::Catalogue(device))
    }

    /// What a channel has recorded between two times, in seconds since 1970. The device may take
    /// half a minute to say.
    ///
    /// # Errors
    /// [`DeviceError`] says why that is not known.
    pub async fn recordings(
        &self,
        device: Id,
        channel: Id,
        span: (u64, u64),
    ) -> Result<Recordings, DeviceError> {
        self.check(device)?;
        let (answer, told) = oneshot::channel();
        self.order(Command::Recordings { device, channel, span, answer })?;
        // Without an answer the server is stopping.
        told.await.unwrap_or(Err(DeviceError::Busy))
    }

    /// Tells a channel what to do.
    ///
    /// # Errors
    /// [`DeviceError`] says why not.
    pub fn control(&self, device: Id, channel: Id, control: Control) -> Result<(), DeviceError> {
        self.check(device)?;
        self.order(Command::Control { device, channel, control })
    }

    /// Whether the viewers of a stream are to be kept although nobody publishes it: its device is
    /// being called again.
    #[must_use]
    pub fn holds(&self, stream: &StreamName) -> bool {
        self.table.lock().is_called(stream)
    }

    /// Ends all calls, and tells the devices, within a second.
    pub async fn shut_down(&self) {
        let (done, told) = oneshot::channel();
        if self.commands.try_send(Command::End(done)).is_ok() {
            // They notice by themselves if they were not told.
            let _ = timeout(Duration::from_secs(1), told).await;
        }
    }

    /// Asks again what a device has, now and then: viewers may ask for anything.
    fn refresh_for_viewers(&self, device: Id) {
        if self.table.lock().may_ask(device, Instant::now()) {
            // If there is too much to do, it is as good later.
            let _ = self.order(Command::Catalogue(device));
        }
    }

    fn check(&self, device: Id) -> Result<(), DeviceError> {
        let online = self.table.lock().is_online(device);
        if online { Ok(()) } else { Err(DeviceError::NotOnline(device)) }
    }

    fn order(&self, command: Command) -> Result<(), DeviceError> {
        self.commands.try_send(command).map_err(|_| DeviceError::Busy)
    }

    /// The device and channel that a stream's name means.
    fn meaning(&self, stream: &StreamName) -> Option<(Id, Id)> {
        let path = stream.as_str();
        let Some(rest) = path.strip_prefix(&self.app).and_then(|rest| rest.strip_prefix('/'))
        else {
            // Where streams are found by name alone, that is the channel.
            let channel = path.parse().ok()?;
            return self.table.lock().device_of(channel).map(|device| (device, channel));
        };
        match rest.split_once('/') {
            Some((device, channel)) => Some((device.parse().ok()?, channel.parse().ok()?)),
            // A camera is its own only channel.
            None => rest.parse().ok().map(|device| (device, device)),
        }
    }
}

impl Supplier for Devices {
    fn want(self: Arc<Self>, stream: &StreamName, _asked: &Address) -> bool {
        let Some((device, channel)) = self.meaning(stream) else { return false };
        if self.table.lock().is_called(stream) {
            return true;
        }
        if self.check(device).is_err() {
            return false;
        }
        if !self.table.lock().may_have(device, channel) {
            // It may be new; then whoever comes next finds it.
            self.refresh_for_viewers(device);
            return false;
        }
        let kind = Kind::Live;
        self.order(Command::Play { stream: stream.clone(), device, channel, kind, keep: false })
            .is_ok()
    }
}

/// Hears what happens.
struct Ear(Weak<Devices>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        let Event::Left { session, stream, reason, .. } = event else { return };
        if session.kind().protocol != Protocol::Ps {
            return;
        }
        let Some(devices) = self.0.upgrade() else { return };
        if devices.holds(stream) {
            let (stream, session) = (stream.clone(), session.id().clone());
            // If so much waits that this is lost, the device is told when it sends in vain.
            let _ = devices.order(Command::Ended { stream, session, reason: reason.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
