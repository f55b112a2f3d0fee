//! What is known of devices, for those who ask.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use ::gb28181::id::Id;
use ::gb28181::manscdp::{Channel, DeviceInfo};
use hub::StreamName;

/// Devices that are remembered when they are gone; of more, those that went first are forgotten.
const MAX_REMEMBERED: usize = 20_000;

/// Channels that are remembered of one device: the largest recorders have 256, platforms that
/// register like devices some thousands.
const MAX_CHANNELS: usize = 10_000;

/// Whether a device can be spoken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has registered, and says that it is there.
    Online,
    /// It is gone, since then.
    Offline(SystemTime),
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: Id,
    /// Whether it can be spoken with.
    pub state: State,
    /// Where it was last heard from.
    pub address: SocketAddr,
    /// `UDP` or `TCP`.
    pub transport: &'static str,
    /// When it registered, the last time that it was new.
    pub since: SystemTime,
    /// When it last said that it is there.
    pub alive: SystemTime,
    /// The edition of the standard that it says it knows.
    pub version: Option<String>,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// What it says it is.
    pub info: Option<DeviceInfo>,
    /// What is in it.
    pub channels: Vec<Channel>,
    /// The last alarms, the newest first.
    pub alarm: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    devices: BTreeMap<Id, Device>,
    /// Streams that devices have been asked for.
    called: HashSet<StreamName>,
}

impl Table {
    pub(super) fn list(&self) -> Vec<Device> {
        self.devices.values().cloned().collect()
    }

    pub(super) fn find(&self, device: Id) -> Option<Device> {
        self.devices.get(&device).cloned()
    }

    pub(super) fn is_online(&self, device: Id) -> bool {
        self.devices.get(&device).is_some_and(|device| device.state == State::Online)
    }

    pub(super) fn address_of(&self, device: Id) -> Option<SocketAddr> {
        self.devices.get(&device).map(|device| device.address)
    }

    /// The device that has a channel.
    pub(super) fn device_of(&self, channel: Id) -> Option<Id> {
        let has = |device: &&Device| {
            device.id == channel || device.channels.iter().any(|known| known.id == channel)
        };
        self.devices.values().find(has).map(|device| device.id)
    }

    pub(super) fn is_called(&self, stream: &StreamName) -> bool {
        self.called.contains(stream)
    }

    pub(super) fn set_called(&mut self, stream: &StreamName, called: bool) {
        if called {
            self.called.insert(stream.clone());
        } else {
            self.called.remove(stream);
        }
    }

    /// A device has registered.
    pub(super) fn registered(&mut self, device: Device) {
        match self.devices.get_mut(&device.id) {
            Some(known) => {
                let since = match known.state {
                    State::Online => known.since,
                    State::Offline(_) => device.since,
                };
                let (info, channels) = (known.info.take(), std::mem::take(&mut known.channels));
                let alarm = known.alarm.take();
                *known = Device { since, info, channels, alarm, ..device };
            }
            None => {
                self.devices.insert(device.id, device);
                self.forget_some();
            }
        }
    }

    /// A device is gone.
    pub(super) fn gone(&mut self, device: Id, now: SystemTime) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.state = State::Offline(now);
        }
    }

    /// Something has become known of a device.
    pub(super) fn change(&mut self, device: Id, change: impl FnOnce(&mut Device)) {
        if let Some(known) = self.devices.get_mut(&device) {
            change(known);
            known.channels.truncate(MAX_CHANNELS);
        }
    }

    fn forget_some(&mut self) {
        if self.devices.len() <= MAX_REMEMBERED {
            return;
        }
        let gone = self.devices.values().filter_map(|device| match device.state {
            State::Online => None,
            State::Offline(since) => Some((since, device.id)),
        });
        if let Some((_, first)) = gone.min() {
            self.devices.remove(&first);
        }
    }
}
