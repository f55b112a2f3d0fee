//! Who gets what and when: streams, packagers, cursors and sessions.
//!
//! A [`Stream`] is a short log of frames with one publisher; a [`Packager`] turns frames into
//! [`Packet`]s once per wire format; a [`Ring`] keeps the newest packets of one format; a
//! [`Cursor`] is a viewer's place in it. [`Registry`] finds streams by name, [`Sessions`] counts
//! and ends the relations with peers.
//!
//! This crate opens no socket, starts no task and reads no clock: `net` moves the bytes, `session`
//! leads the peers, and both pass the time in.

mod cursor;
mod entry;
pub mod events;
pub mod gate;
mod keys;
pub mod mask;
mod name;
mod packager;
pub mod pattern;
mod rate;
mod registry;
mod ring;
mod session;
mod settings;
mod silence;
mod stream;
mod tap;
mod targets;
mod template;
mod timeline;

pub use cursor::{Cursor, Drained, Lag, MAX_OWN_BYTES, Progress};
pub use events::{Event, Events, Group, Observer};
pub use name::{Identity, MAX_NAME_BYTES, NameError, StreamName};
pub use packager::flv::file_header;
pub use packager::rtp::{Channel, Channels, Framing, MAX_TRACKS, RtpSource, Told};
pub use packager::{Dialect, Form, Packager, Packaging};
pub use registry::{
    Publication, PublishError, Registry, SettingsFor, Superseded, Waiting, Watcher,
};
pub use ring::{CacheLimit, Datagrams, Item, Packet, Preamble, Prologue, Ring, Start};
pub use session::{
    Address, EndReason, Ended, Kind, Protocol, Role, Session, SessionId, Sessions, Statistics,
};
pub use settings::{Recorded, SecondPublisher, StreamSettings};
pub use stream::{Delivery, PacketSink, Stream, StreamState, Subscription, Summary};
pub use tap::{Tap, TapEnd, Tapped};
pub use targets::Targets;
pub use template::{Template, TemplateError};
pub use timeline::{Repairs, Timeline};
