//! A viewer that plays what is sent to groups: it stays a task, which hears its requests, and its
//! reports through the groups.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtsp::message::Status;
use ::rtsp::server::Event;
use hub::{EndReason, Stream};
use net::Shard;
use parking_lot::Mutex;

use super::State;
use super::multicast::Seat;
use super::setup::is_of_track;
use super::viewer::{Known, Part, info};

/// How often it is looked at what has come and gone.
const INTERVAL: Duration = Duration::from_secs(1);

/// A viewer of groups.
pub(super) struct Attending {
    stream: Arc<Mutex<Stream>>,
    parts: Vec<Part>,
    /// One for each of the parts.
    known: Vec<Known>,
    seats: Vec<Seat>,
    next: Instant,
}

impl Attending {
    pub(super) fn new(
        stream: Arc<Mutex<Stream>>,
        (parts, known): (Vec<Part>, Vec<Known>),
        seats: Vec<Seat>,
        now: Instant,
    ) -> Self {
        Self { stream, parts, known, seats, next: now + INTERVAL }
    }

    /// Whether an address is that of a track, and there are others.
    pub(super) fn has_more_than(&self, uri: &str) -> bool {
        self.parts.len() > 1 && is_of_track(uri)
    }

    /// Answers `PLAY`, the first one or a later one.
    pub(super) fn play(&mut self, state: &mut State, shard: &Rc<Shard>) -> Result<(), EndReason> {
        for seat in &mut self.seats {
            seat.play(shard)?;
        }
        // The group runs for others, too: which packets come first is known to nobody.
        let newest = self.stream.lock().newest_dts_ms();
        let info = info(&self.parts, &self.known, &mut std::iter::empty(), newest);
        state.machine.accept_play_elsewhere(Some(&info));
        Ok(())
    }

    /// Answers what is none of `PLAY` and `TEARDOWN`.
    pub(super) fn answer(&mut self, state: &mut State, event: &Event) {
        match event {
            Event::Pause => {
                self.seats.iter_mut().for_each(Seat::pause);
                state.machine.accept();
            }
            // Reports may come on the connection as well: that they do is all that matters.
            Event::Data { .. } => {}
            _ => state.machine.reject(Status::NOT_VALID_IN_STATE, ""),
        }
    }

    /// When [`Attending::handle_timeout`] is to be called.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, state: &mut State, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        if let Some(heard) = self.seats.iter().filter_map(Seat::heard).max() {
            state.machine.keep_alive(heard);
        }
        self.publish_totals(state);
    }

    /// Makes the totals known: those of the connection, and the share of what went to the groups.
    pub(super) fn publish_totals(&self, state: &State) {
        if let Some(tenure) = &state.tenure {
            let share: u64 = self.seats.iter().map(Seat::share).sum();
            tenure.session().set_totals(state.read, state.written + share);
        }
    }
}
