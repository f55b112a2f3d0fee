//! What is known of devices, for those who ask.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use ::gb28181::id::Id;
use ::gb28181::manscdp::{Channel, DeviceInfo};
use hub::StreamName;

/// Devices that are remembered when they are gone; of more, those that went first are forgotten.
const MAX_REMEMBERED: usize = 20_000;

/// Channels that are remembered of one device: the largest recorders have 256, platforms that
/// register like devices some thousands.
const MAX_CHANNELS: usize = 10_000;

/// Channels that are remembered of all devices together: some hundred MB of names and addresses.
const MAX_ALL_CHANNELS: usize = 500_000;

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
    /// Whether those are all that it has announced.
    pub complete: bool,
    /// The last alarm.
    pub alarm: Option<String>,
}

/// How often a device is asked what it has because viewers want what it has not.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    devices: BTreeMap<Id, Device>,
    /// Streams that devices have been asked for.
    called: HashSet<StreamName>,
    /// When devices were asked what they have because viewers wanted what they had not.
    asked: HashMap<Id, Instant>,
}

impl Table {
    /// How many there are, and those in the range. All of them may be too much to copy.
    pub(super) fn list(&self, range: Range<usize>) -> (usize, Vec<Device>) {
        let listed = self.devices.values().skip(range.start).take(range.len());
        (self.devices.len(), listed.cloned().collect())
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

    /// The device that has a channel; rather one that is there.
    pub(super) fn device_of(&self, channel: Id) -> Option<Id> {
        let has = |device: &&Device| {
            device.id == channel || device.channels.iter().any(|known| known.id == channel)
        };
        let is_online = |device: &&Device| device.state == State::Online;
        let found = self.devices.values().find(|device| is_online(device) && has(device));
        found.or_else(|| self.devices.values().find(has)).map(|device| device.id)
    }

    /// Whether a device may have a channel, as far as is known of it. A camera is its own.
    pub(super) fn may_have(&self, device: Id, channel: Id) -> bool {
        self.devices.get(&device).is_some_and(|known| {
            let all_are_known = known.complete && !known.channels.is_empty();
            !all_are_known
                || device == channel
                || known.channels.iter().any(|known| known.id == channel)
        })
    }

    /// Whether it was not done just now.
    pub(super) fn may_ask(&mut self, device: Id, now: Instant) -> bool {
        self.asked.retain(|_, at| now.saturating_duration_since(*at) < ASK_AGAIN);
        self.asked.insert(device, now).is_none()
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
                let (complete, alarm) = (known.complete, known.alarm.take());
                *known = Device { since, info, channels, complete, alarm, ..device };
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
        }
    }

    /// What is in a device.
    pub(super) fn set_channels(&mut self, device: Id, mut channels: Vec<Channel>, complete: bool) {
        let room = self.room(device);
        let Some(known) = self.devices.get_mut(&device) else { return };
        known.complete = complete && channels.len() <= room;
        channels.truncate(room);
        known.channels = channels;
    }

    /// What has changed in a device. Notes on the state of a channel name it, and nothing more
    /// (GB/T 28181-2016 Annex A.2.5).
    pub(super) fn change_channels(&mut self, device: Id, changes: Vec<Channel>) {
        let room = self.room(device);
        let Some(known) = self.devices.get_mut(&device) else { return };
        let places = known.channels.iter().enumerate().map(|(at, channel)| (channel.id, at));
        let mut places: HashMap<_, _> = places.collect();
        let mut gone = HashSet::new();
        for change in changes {
            let event = change.event.as_deref();
            if event == Some("DEL") {
                gone.insert(change.id);
                continue;
            }
            gone.remove(&change.id);
            let online = match event {
                Some("ON") => Some(true),
                Some("OFF" | "VLOST" | "DEFECT") => Some(false),
                _ => change.online,
            };
            let at = places.get(&change.id).copied().unwrap_or(usize::MAX);
            let count = known.channels.len();
            match known.channels.get_mut(at) {
                Some(channel) if change.name.is_empty() => {
                    channel.online = online.or(channel.online);
                }
                Some(channel) => {
                    let online = online.or(channel.online);
                    *channel = Channel { online, ..change };
                }
                None if count < room => {
                    places.insert(change.id, count);
                    known.channels.push(Channel { online, ..change });
                }
                None => known.complete = false,
            }
        }
        known.channels.retain(|channel| !gone.contains(&channel.id));
    }

    /// How many channels a device may have.
    fn room(&self, device: Id) -> usize {
        let others = self.devices.values().filter(|other| other.id != device);
        let others: usize = others.map(|other| other.channels.len()).sum();
        MAX_ALL_CHANNELS.saturating_sub(others).min(MAX_CHANNELS)
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

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: u64 = 0;

    fn id(number: u64) -> Id {
        format!("3402000000{number:010}").parse().unwrap()
    }

    fn channel(number: u64, name: &str, event: Option<&str>) -> Channel {
        let text = || String::new();
        Channel {
            id: id(number),
            name: name.to_owned(),
            manufacturer: text(),
            model: text(),
            owner: text(),
            civil_code: text(),
            address: text(),
            parental: false,
            parent: text(),
            online: None,
            longitude: None,
            latitude: None,
            event: event.map(ToOwned::to_owned),
        }
    }

    /// A table with a device that has these channels.
    fn table(channels: &[u64]) -> Table {
        let mut table = Table::default();
        let time = SystemTime::UNIX_EPOCH;
        table.registered(Device {
            id: id(DEVICE),
            state: State::Online,
            address: "192.0.2.1:5060".parse().unwrap(),
            transport: "UDP",
            since: time,
            alive: time,
            version: None,
            user_agent: None,
            info: None,
            channels: Vec::new(),
            complete: false,
            alarm: None,
        });
        let channels = channels.iter().map(|number| channel(*number, "gate", None)).collect();
        table.set_channels(id(DEVICE), channels, true);
        table
    }

    #[test]
    fn notes_on_the_state_of_a_channel_leave_its_name() {
        let mut table = table(&[1, 2]);
        let events = [(1, "", "OFF"), (1, "", "ON"), (2, "yard", "UPDATE"), (2, "", "VLOST")];
        let mut changes: Vec<_> =
            events.iter().map(|(n, name, event)| channel(*n, name, Some(event))).collect();
        changes.extend([channel(3, "new", Some("ADD")), channel(4, "", Some("ON"))]);
        table.change_channels(id(DEVICE), changes);
        table.change_channels(id(DEVICE), vec![channel(4, "", Some("DEL"))]);
        let known = table.find(id(DEVICE)).unwrap().channels;
        let known: Vec<_> = known.iter().map(|c| (c.id, c.name.as_str(), c.online)).collect();
        let expected =
            [(id(1), "gate", Some(true)), (id(2), "yard", Some(false)), (id(3), "new", None)];
        assert_eq!(known, expected);
    }

    #[test]
    fn devices_are_listed_by_pages() {
        let mut table = table(&[]);
        let first = table.find(id(DEVICE)).unwrap();
        (1..10).for_each(|number| table.registered(Device { id: id(number), ..first.clone() }));
        let page = |range| {
            let (total, listed) = table.list(range);
            (total, listed.iter().map(|device| device.id).collect::<Vec<_>>())
        };
        assert_eq!(page(0..3), (10, [0, 1, 2].map(id).to_vec()));
        assert_eq!(page(9..12), (10, vec![id(9)]));
        assert_eq!(page(20..usize::MAX), (10, Vec::new()));
    }

    #[test]
    fn channels_are_looked_for_where_all_are_known() {
        let mut table = table(&[1, 2]);
        let may_have = |table: &Table, number| table.may_have(id(DEVICE), id(number));
        assert!(may_have(&table, 1) && may_have(&table, DEVICE) && !may_have(&table, 3));
        assert!(!table.may_have(id(9), id(1)), "nobody knows that device");
        let now = Instant::now();
        let asked = [now, now, now + ASK_AGAIN].map(|at| table.may_ask(id(DEVICE), at));
        assert_eq!(asked, [true, false, true]);
        table.set_channels(id(DEVICE), vec![channel(1, "a", None)], false);
        assert!(may_have(&table, 3));
        let many = (0..=MAX_CHANNELS).map(|n| channel(n as u64, "", None)).collect();
        table.set_channels(id(DEVICE), many, true);
        let known = table.find(id(DEVICE)).unwrap();
        assert_eq!((known.channels.len(), known.complete), (MAX_CHANNELS, false));
    }
}
