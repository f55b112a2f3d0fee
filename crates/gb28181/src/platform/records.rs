//! What a channel has recorded: `RecordInfo` (GB/T 28181-2016 §9.7).
//!
//! Like a catalogue, a list comes in many messages, in any order.

use std::time::{Duration, Instant};

use super::commands::CommandError;
use super::{CommandId, Event, Failure, Platform, Purpose, Timer};
use crate::id::Id;
use crate::local_time;
use crate::manscdp::{self, Record};
use crate::transaction::LIFETIME;

/// Lists that are put together at once: people ask for them.
const MAX_LISTS: usize = 256;

/// Recordings of one list: a year of files of an hour.
const MAX_RECORDS: usize = 10_000;

/// Recordings of all lists that are being put together: some 50 MB.
const MAX_GATHERED: usize = 200_000;

/// A recording that a device has, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// When it begins.
    pub start: u64,
    /// When it ends.
    pub end: u64,
    /// What it is called.
    pub name: String,
    /// Why it was made: `time`, `alarm`, `manual`, as the device says.
    pub kind: String,
    /// How many bytes it has, if the device says.
    pub bytes: Option<u64>,
}

/// A list that is being put together.
#[derive(Debug)]
pub(super) struct List {
    pub(super) device: Id,
    recordings: Vec<Recording>,
    /// Items that cannot be used.
    bad: usize,
}

impl Platform {
    /// Asks what a channel has recorded between two times, in seconds since 1970.
    /// [`Event::Recordings`] tells, or [`Event::CommandFailed`].
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn recordings(
        &mut self,
        device: Id,
        channel: Id,
        (start, end): (u64, u64),
        now: Instant,
    ) -> Result<CommandId, CommandError> {
        if self.lists.len() >= MAX_LISTS {
            return Err(CommandError::TooMany("lists of recordings"));
        }
        let way = self.reach(device)?;
        let command = self.command();
        self.lists.insert(command, List { device, recordings: Vec::new(), bad: 0 });
        self.timers.set(Timer::Recordings(command), now + LIFETIME);
        let offset = self.settings.utc_offset;
        let text = |seconds| local_time::to_text(Duration::from_secs(seconds), offset);
        let (start, end) = (text(start), text(end));
        // Devices know whole seconds alone.
        let seconds = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
        let body = manscdp::records_xml(command.0, channel, &seconds(&start), &seconds(&end));
        self.tell(channel, way, body, Purpose::Recordings(command, device), now);
        Ok(command)
    }

    /// Takes a part of a list.
    pub(super) fn gather_records(
        &mut self,
        device: Id,
        sn: Option<CommandId>,
        total: Option<usize>,
        (records, bad): (Vec<Record>, usize),
        now: Instant,
    ) {
        let gathered: usize = self.lists.values().map(|list| list.recordings.len()).sum();
        let offset = self.settings.utc_offset;
        // Some devices give a number of their own: there is hardly more than one question.
        let asked =
            |command: &CommandId| self.lists.get(command).is_some_and(|list| list.device == device);
        let open = || self.lists.iter().find(|(_, list)| list.device == device);
        let command = sn.filter(asked).or_else(|| open().map(|(command, _)| *command));
        let Some(command) = command else { return };
        let Some(list) = self.lists.get_mut(&command) else { return };
        let room = MAX_GATHERED.saturating_sub(gathered);
        let room = room.min(MAX_RECORDS.saturating_sub(list.recordings.len()));
        let is_full = records.len() > room;
        for record in records.into_iter().take(room) {
            let Record { name, start, end, kind, bytes } = record;
            let times = local_time::parse(&start, offset).zip(local_time::parse(&end, offset));
            match times {
                Some((start, end)) if start < end => {
                    list.recordings.push(Recording { start, end, name, kind, bytes });
                }
                _ => list.bad += 1,
            }
        }
        list.bad += bad;
        let count = list.recordings.len() + list.bad;
        let has_all = total.is_some_and(|total| count >= total);
        if has_all || is_full {
            self.deliver_recordings(command, has_all && !is_full);
        } else {
            self.timers.set(Timer::Recordings(command), now + self.settings.catalogue_timeout);
        }
    }

    /// Hands over what there is of a list.
    pub(super) fn deliver_recordings(&mut self, command: CommandId, complete: bool) {
        self.timers.clear(&Timer::Recordings(command));
        let Some(List { device, mut recordings, bad }) = self.lists.remove(&command) else {
            return;
        };
        if recordings.is_empty() && bad == 0 && !complete {
            let why = Failure::NoAnswer;
            self.events.push_back(Event::CommandFailed { device, command, why });
            return;
        }
        recordings.sort_by_key(|recording| (recording.start, recording.end));
        self.events.push_back(Event::Recordings { device, command, recordings, complete });
    }
}
