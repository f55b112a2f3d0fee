//! What a platform tells its owner.

use crate::id::Id;
use crate::manscdp::{Alarm, Channel, DeviceInfo, DeviceStatus, Position};
use crate::message::Status;
use crate::peer::Peer;
use crate::platform::Recording;
use crate::sdp::Answer;

/// A call, from its `INVITE` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something that a device was asked or told; its number stands in the message as `SN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u32);

/// Why a device is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gone {
    /// It did not say that it is there.
    Silent,
    /// Its registration has run out.
    Expired,
    /// The connection over which it is reached has ended.
    ConnectionClosed,
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// The platform: [`super::Platform::bye`].
    Platform,
    /// The device.
    Device,
    /// Nobody: the device is gone.
    Loss,
}

/// Why something that a device was asked for did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The device refuses.
    Refused {
        /// How.
        status: Status,
        /// What it says to it.
        reason: String,
    },
    /// The device does not answer.
    NoAnswer,
    /// The device is gone.
    Gone,
    /// The device has taken the command, and says later that it failed.
    NotDone,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A device has registered.
    Registered {
        /// Which.
        device: Id,
        /// Where it is.
        peer: Peer,
        /// Whether it was registered before, and has only renewed that.
        again: bool,
        /// `X-GB-Ver`, which devices of 2022 send: `3.0`.
        version: Option<String>,
        /// What it calls itself.
        user_agent: Option<String>,
    },
    /// A device was not let in.
    RegistrationRefused {
        /// Which it says it is.
        device: Id,
        /// Where it is.
        peer: Peer,
        /// Why.
        why: &'static str,
    },
    /// A device has taken its registration back.
    Unregistered {
        /// Which.
        device: Id,
    },
    /// A device is gone.
    Offline {
        /// Which.
        device: Id,
        /// Why.
        why: Gone,
    },
    /// A device says that it is there.
    Alive {
        /// Which.
        device: Id,
        /// Whether it says that it is well.
        ok: bool,
    },
    /// What is in a device.
    Catalogue {
        /// Which.
        device: Id,
        /// The question.
        command: CommandId,
        /// What is in it, in the order of identifiers.
        channels: Vec<Channel>,
        /// Whether that is all that it has announced.
        complete: bool,
    },
    /// What a channel has recorded.
    Recordings {
        /// The device.
        device: Id,
        /// The question.
        command: CommandId,
        /// The recordings, by time.
        recordings: Vec<Recording>,
        /// Whether those are all that it has announced.
        complete: bool,
    },
    /// What has changed in a device, in answer to a subscription.
    CatalogueChanged {
        /// Which.
        device: Id,
        /// The items, each with what has happened to it.
        channels: Vec<Channel>,
    },
    /// What a device is.
    DeviceInfo {
        /// Which.
        device: Id,
        /// What it is.
        info: DeviceInfo,
    },
    /// How a device is.
    DeviceStatus {
        /// Which.
        device: Id,
        /// How it is.
        status: DeviceStatus,
    },
    /// A device has answered a call, and will send.
    CallAnswered {
        /// Which.
        call: CallId,
        /// What it says of the media, unless it says nothing that can be read.
        answer: Option<Answer>,
    },
    /// A call was not answered. It is over.
    CallFailed {
        /// Which.
        call: CallId,
        /// Why.
        why: Failure,
    },
    /// A call that was answered is over.
    CallEnded {
        /// Which.
        call: CallId,
        /// Who ended it.
        by: EndedBy,
    },
    /// A file was sent to its end. The call goes on until [`super::Platform::bye`].
    MediaEnded {
        /// The call.
        call: CallId,
    },
    /// Something has happened at a device.
    Alarm {
        /// Which.
        device: Id,
        /// The channel or input that noticed it.
        source: Id,
        /// What.
        alarm: Alarm,
    },
    /// Where something is.
    Position {
        /// The device.
        device: Id,
        /// The channel that is there.
        source: Id,
        /// Where.
        position: Position,
    },
    /// A device has taken a command, or a subscription.
    CommandDone {
        /// Which.
        device: Id,
        /// The command.
        command: CommandId,
    },
    /// A command was not done, or a subscription has ended.
    CommandFailed {
        /// The device.
        device: Id,
        /// The command.
        command: CommandId,
        /// Why.
        why: Failure,
    },
}
