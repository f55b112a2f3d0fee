//! Cameras and recorders that register here (GB/T 28181), by orders of operators.

use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::time::SystemTime;

use hub::StreamName;

/// Devices, as far as the API has to do with them.
pub trait Devices: Send + Sync {
    /// How many devices are known, and what is known of those in this range, by id.
    ///
    /// # Errors
    /// [`DeviceError::Off`].
    fn devices(&self, range: Range<usize>) -> Result<(usize, Vec<Device>), DeviceError>;

    /// What is known of one.
    ///
    /// # Errors
    /// [`DeviceError::Off`], [`DeviceError::Absent`].
    fn device(&self, id: &str) -> Result<Device, DeviceError>;

    /// Asks again what a device has.
    ///
    /// # Errors
    /// [`DeviceError`] says why not.
    fn refresh(&self, device: &str) -> Result<(), DeviceError>;

    /// Asks a channel to send until that is stopped; the stream that it becomes. A recording is sent
    /// from and to these times, in seconds since 1970.
    ///
    /// # Errors
    /// [`DeviceError`] says why not.
    fn play(
        &self,
        device: &str,
        channel: &str,
        recording: Option<(u64, u64)>,
    ) -> Result<StreamName, DeviceError>;

    /// Ends the call that brings a stream.
    ///
    /// # Errors
    /// [`DeviceError::NotCalled`].
    fn stop_playing(&self, stream: &StreamName) -> Result<(), DeviceError>;

    /// Tells the sender of a recording how to go on.
    ///
    /// # Errors
    /// [`DeviceError::NotCalled`].
    fn playback(&self, stream: &StreamName, order: Playback) -> Result<(), DeviceError>;

    /// What a channel has recorded between two times, in seconds since 1970; [`DeviceError`] says why
    /// that is not known.
    fn recorded_by(
        &self,
        device: &str,
        channel: &str,
        span: (u64, u64),
    ) -> Pin<Box<dyn Future<Output = Result<DeviceRecordings, DeviceError>> + Send>>;

    /// Tells a channel what to do.
    ///
    /// # Errors
    /// [`DeviceError`] says why not.
    fn control(&self, device: &str, channel: &str, order: Control) -> Result<(), DeviceError>;
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its 20 digits.
    pub id: String,
    /// Whether it can be spoken with.
    pub online: bool,
    /// Where it was last heard from.
    pub address: SocketAddr,
    /// `UDP` or `TCP`.
    pub transport: &'static str,
    /// When it registered.
    pub since: SystemTime,
    /// When it last said that it is there.
    pub alive: SystemTime,
    /// Since when it has been gone.
    pub gone: Option<SystemTime>,
    /// Its name, as it says.
    pub name: Option<String>,
    /// Who made it, as it says.
    pub manufacturer: Option<String>,
    /// What it is, as it says.
    pub model: Option<String>,
    /// Its program, as it says.
    pub firmware: Option<String>,
    /// The edition of the standard that it says it knows.
    pub version: Option<String>,
    /// The last alarm.
    pub alarm: Option<String>,
    /// What is in it.
    pub channels: Vec<Channel>,
}

/// A channel of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its 20 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who made it.
    pub manufacturer: String,
    /// What it is.
    pub model: String,
    /// Where it is.
    pub address: String,
    /// What it belongs to.
    pub parent: String,
    /// Whether it has others in it.
    pub is_folder: bool,
    /// Whether it is there, as the device says.
    pub online: Option<bool>,
    /// The stream that a viewer asks for.
    pub stream: Option<StreamName>,
}

/// What a channel has recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecordings {
    /// By time.
    pub items: Vec<DeviceRecording>,
    /// Whether those are all that the device has announced.
    pub complete: bool,
}

/// A recording of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecording {
    /// When it begins, in seconds since 1970.
    pub start: u64,
    /// When it ends, in seconds since 1970.
    pub end: u64,
    /// What it is called.
    pub name: String,
    /// Why it was made, as the device says: `time`, `alarm`, `manual`.
    pub kind: String,
    /// How many bytes it has, if the device says.
    pub bytes: Option<u64>,
}

/// How a recording goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Playback {
    /// It goes on.
    Resume,
    /// It waits.
    Pause,
    /// So many times as fast.
    Speed(f32),
    /// At so many seconds from its beginning.
    Seek(u64),
}

/// What a channel is told to do. Movements go on until they are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// To turn and zoom: -1, 0 or 1 to the right, up and nearer; 1 to 255 fast.
    Move {
        /// To the right.
        pan: i8,
        /// Up.
        tilt: i8,
        /// Nearer.
        zoom: i8,
        /// How fast.
        speed: u8,
    },
    /// To remember the view under a number from 1 on.
    SetPreset(u8),
    /// To go to a view.
    CallPreset(u8),
    /// To forget a view.
    DeletePreset(u8),
    /// To make the next picture a key frame.
    KeyFrame,
    /// To start anew.
    Reboot,
    /// To record, or to stop that.
    Record(bool),
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Nobody can register.
    #[error("devices do not register here: set gb28181.listen")]
    Off,
    /// It is no id.
    #[error("{0:?} is no id: write 20 digits")]
    Id(String),
    /// It has never been here.
    #[error("there is no such device")]
    Absent,
    /// It is gone.
    #[error("{0}")]
    NotOnline(String),
    /// It is not asked for.
    #[error("{0}")]
    NotCalled(String),
    /// There is too much to do.
    #[error("{0}")]
    Busy(String),
    /// The device has not done it.
    #[error("{0}")]
    Failed(String),
}
