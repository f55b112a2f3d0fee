//! What waits for delivery: lanes, each with one delivery at a time, in order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hub::events::DeviceId;
use hub::{SessionId, StreamName};

use crate::events::Notification;

/// Bytes of all notifications that wait: what clients say of themselves is in them.
const MAX_BYTES: usize = 64 << 20;

/// Which part of the room is left for lanes in which little waits.
const RESERVED: usize = 8;

/// What is delivered in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// What happens to a stream.
    Stream(StreamName),
    /// What happens to a session that has no stream yet.
    Session(SessionId),
    /// What happens to a device, streams aside.
    Device(DeviceId),
    /// What concerns the whole server.
    Server,
}

impl Lane {
    fn of(notification: &Notification) -> Self {
        match (&notification.stream, &notification.session, &notification.device) {
            (Some(stream), ..) => Self::Stream(stream.clone()),
            (None, Some(session), _) => Self::Session(session.clone()),
            (None, None, Some(device)) => Self::Device(device.clone()),
            (None, None, None) => Self::Server,
        }
    }
}

/// What has become of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Queued,
    /// It waits in the place of an older one.
    Replaced,
    /// There was no room.
    Dropped,
}

/// Lanes with something to do; the others are forgotten.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: HashMap<Lane, Waiting>,
    /// Lanes that wait for their next delivery, each once.
    ready: VecDeque<Lane>,
    /// Notifications in all lanes.
    waiting: usize,
    /// Their bytes.
    bytes: usize,
    /// Deliveries in progress.
    busy: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    notifications: VecDeque<Arc<Notification>>,
    is_busy: bool,
}

impl Queue {
    /// Adds a notification if fewer than `limit` wait. Of the last eighth of the room, a lane may
    /// take half of what others leave, so that one that comes to a halt leaves room for the rest.
    pub(super) fn push(&mut self, notification: &Arc<Notification>, limit: usize) -> Pushed {
        let lane = Lane::of(notification);
        let free = limit.saturating_sub(self.waiting);
        let known = self.lanes.get_mut(&lane);
        let waiting = known.as_ref().map_or(0, |known| known.notifications.len());
        if notification.is_update()
            && let Some(known) = known
            && let Some(old) = known.notifications.iter_mut().find(|old| old.is_update())
        {
            self.bytes = self.bytes - old.size() + notification.size();
            old.clone_from(notification);
            return Pushed::Replaced;
        }
        let is_scarce = free <= limit / RESERVED;
        let is_full = free == 0 || self.bytes + notification.size() > MAX_BYTES;
        if is_full || (is_scarce && waiting >= free) {
            return Pushed::Dropped;
        }
        let to = self.lanes.entry(lane.clone()).or_default();
        to.notifications.push_back(notification.clone());
        self.waiting += 1;
        self.bytes += notification.size();
        if waiting == 0 && !to.is_busy {
            self.ready.push_back(lane);
        }
        Pushed::Queued
    }

    /// The next notification, whose lane is busy until it is done.
    pub(super) fn take(&mut self) -> Option<(Lane, Arc<Notification>)> {
        let lane = self.ready.pop_front()?;
        let from = self.lanes.get_mut(&lane)?;
        let next = from.notifications.pop_front()?;
        from.is_busy = true;
        self.waiting -= 1;
        self.bytes -= next.size();
        self.busy += 1;
        Some((lane, next))
    }

    /// The delivery of the lane's notification is over.
    pub(super) fn done(&mut self, lane: &Lane) {
        let Some(of) = self.lanes.get_mut(lane).filter(|of| of.is_busy) else { return };
        of.is_busy = false;
        self.busy -= 1;
        if of.notifications.is_empty() {
            self.lanes.remove(lane);
        } else {
            self.ready.push_back(lane.clone());
        }
    }

    /// Notifications that wait or are being delivered.
    pub(super) fn len(&self) -> u64 {
        (self.waiting + self.busy).try_into().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use hub::Identity;

    use super::*;

    fn told(number: u64, name: &'static str, stream: Option<&str>) -> Arc<Notification> {
        let stream =
            stream.map(|name| StreamName::new("live", name, Identity::AppAndName).unwrap());
        let (time, body) = (SystemTime::UNIX_EPOCH, Bytes::new());
        Arc::new(Notification {
            number,
            name,
            stream,
            session: None,
            device: None,
            time,
            shown: body.clone(),
            body,
        })
    }

    fn taken(queue: &mut Queue) -> Option<(Lane, u64)> {
        queue.take().map(|(lane, next)| (lane, next.number))
    }

    #[test]
    fn a_lane_delivers_one_at_a_time_in_order() {
        let mut queue = Queue::default();
        for (number, stream) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            let pushed = queue.push(&told(number, "on_pub_start", Some(stream)), 100);
            assert_eq!(pushed, Pushed::Queued);
        }
        let (a, first) = taken(&mut queue).unwrap();
        let (b, other) = taken(&mut queue).unwrap();
        assert_eq!((first, other), (1, 3));
        assert_eq!(taken(&mut queue), None, "both are busy");
        queue.done(&a);
        queue.done(&a);
        assert_eq!(taken(&mut queue), Some((a.clone(), 2)));
        queue.done(&b);
        assert_eq!(queue.len(), 2);
        queue.done(&a);
        assert_eq!(taken(&mut queue), Some((a.clone(), 4)));
        queue.done(&a);
        assert_eq!((queue.len(), queue.lanes.len(), queue.ready.len()), (0, 0, 0));
    }

    #[test]
    fn a_lane_that_halts_leaves_room_for_others() {
        let mut queue = Queue::default();
        let queued = |queue: &mut Queue, stream: &str| {
            let push =
                |_: &u64| queue.push(&told(1, "on_sub_start", Some(stream)), 64) == Pushed::Queued;
            (0..100).filter(push).count()
        };
        assert_eq!(queued(&mut queue, "a"), 56, "a burst has nearly all of the room");
        assert_eq!(queued(&mut queue, "b"), 4);
        (0..200).for_each(|n| {
            queued(&mut queue, &n.to_string());
        });
        assert_eq!(queue.len(), 64, "no more than the limit");
        assert_eq!(queue.push(&told(1, "on_sub_start", Some("a")), 1), Pushed::Dropped);
    }

    #[test]
    fn long_notifications_are_bounded_in_bytes() {
        let mut queue = Queue::default();
        let long = |name| {
            let notification = Notification::clone(&told(1, name, Some("a")));
            let body = Bytes::from(vec![b'x'; 1 << 20]);
            Arc::new(Notification { shown: body.clone(), body, ..notification })
        };
        let push = |queue: &mut Queue| queue.push(&long("on_sub_start"), 1_000);
        let queued = (0..100).filter(|_| push(&mut queue) == Pushed::Queued).count();
        assert_eq!(queued, MAX_BYTES >> 21);
        // What was taken makes room.
        assert!(queue.take().is_some());
        assert_eq!((push(&mut queue), push(&mut queue)), (Pushed::Queued, Pushed::Dropped));
    }

    #[test]
    fn an_update_takes_the_place_of_an_older_one() {
        let mut queue = Queue::default();
        assert_eq!(queue.push(&told(1, "on_server_start", None), 9), Pushed::Queued);
        assert_eq!(queue.push(&told(2, "on_update", None), 9), Pushed::Queued);
        assert_eq!(queue.push(&told(3, "on_update", None), 9), Pushed::Replaced);
        assert_eq!(queue.len(), 2);
        assert_eq!(taken(&mut queue), Some((Lane::Server, 1)));
        queue.done(&Lane::Server);
        assert_eq!(taken(&mut queue), Some((Lane::Server, 3)));
    }
}
