//! What devices report: `MESSAGE` and `NOTIFY` (GB/T 28181-2016 §9.4 to §9.6).
//!
//! A catalogue comes in many messages, in any order; they are put together by their number.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{CommandId, Event, Failure, Platform, Timer};
use crate::id::Id;
use crate::manscdp::{Channel, Content, Report};
use crate::message::{Method, Request, Response, Status};
use crate::peer::Peer;

/// Items of one catalogue: the largest recorders have a few hundred, a city's platform some
/// ten thousand.
const MAX_CHANNELS: usize = 50_000;

/// Items of all catalogues that are being put together. They take some 100 MB if they are like those
/// of real devices, and ten times as much if they are as long as can be.
const MAX_GATHERED: usize = 200_000;

/// `NotifyType` of a file that was sent to its end.
const FILE_END: u32 = 121;

/// A catalogue that is being put together.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) device: Id,
    channels: BTreeMap<Id, Channel>,
    /// Items that cannot be used.
    bad: usize,
}

impl Gathering {
    pub(super) fn of(device: Id) -> Self {
        Self { device, channels: BTreeMap::new(), bad: 0 }
    }
}

impl Platform {
    /// The answer to a report.
    pub(super) fn report(&mut self, request: &Request, peer: Peer, now: Instant) -> Response {
        let from = request.fields.address("From").and_then(|from| from.user().parse().ok());
        let from = from.filter(|id| self.heard(*id, peer, now));
        // The bodies of those who have proved nothing are not worth the work.
        let report = (from.is_some() || self.hosts.contains_key(&peer.address.ip()))
            .then(|| Report::parse(&request.body));
        // Some devices speak in the name of a channel, and name themselves inside.
        let inside = report.as_ref().and_then(|report| Some(report.as_ref().ok()?.device));
        let device = from.or_else(|| inside.filter(|id| self.heard(*id, peer, now)));
        let (Some(device), Some(report)) = (device, report) else {
            // So that it registers again.
            return self.answer(request, Status::FORBIDDEN, peer);
        };
        let answer = match &report {
            // A subscription that begins or ends is told without a body.
            Err(_) if request.method == Method::Notify && request.body.is_empty() => Status::OK,
            Err(_) => Status::BAD_REQUEST,
            Ok(_) => Status::OK,
        };
        let mut answer = self.answer(request, answer, peer);
        match report {
            Ok(report) => self.reported(device, report, request, now),
            Err(error) if answer.status == Status::BAD_REQUEST => answer.reason = error.to_string(),
            Err(_) => {}
        }
        answer
    }

    fn reported(&mut self, device: Id, report: Report, request: &Request, now: Instant) {
        let source = report.device;
        let sn = report.sn.map(CommandId);
        let event = match report.content {
            Content::Keepalive { ok } => Event::Alive { device, ok },
            Content::Catalog { total, channels, bad } if report.is_response => {
                return self.gather(device, sn, total, channels, bad, now);
            }
            Content::RecordInfo { total, records, bad } => {
                return self.gather_records(device, sn, total, (records, bad), now);
            }
            Content::Catalog { channels, .. } => Event::CatalogueChanged { device, channels },
            Content::DeviceInfo(info) => Event::DeviceInfo { device, info },
            Content::DeviceStatus(status) => Event::DeviceStatus { device, status },
            Content::Alarm(alarm) => Event::Alarm { device, source, alarm },
            Content::Position(position) => Event::Position { device, source, position },
            Content::MediaStatus { kind: FILE_END } => {
                let conversation = request.fields.get("Call-ID").unwrap_or_default();
                let Some(call) = self.playback_of(device, source, conversation) else { return };
                Event::MediaEnded { call }
            }
            Content::Result { ok: false, .. } => {
                let Some(command) = sn else { return };
                return self.fail(command, device, Failure::NotDone);
            }
            Content::Result { .. } | Content::MediaStatus { .. } | Content::Other { .. } => return,
        };
        self.events.push_back(event);
    }

    fn gather(
        &mut self,
        device: Id,
        sn: Option<CommandId>,
        total: Option<usize>,
        channels: Vec<Channel>,
        bad: usize,
        now: Instant,
    ) {
        // Some devices give a number of their own: there is hardly more than one question.
        let asked =
            |command: &CommandId| self.gatherings.get(command).map(|g| g.device) == Some(device);
        let command = sn.filter(asked).or_else(|| {
            let mut open = self.gatherings.iter().filter(|(_, g)| g.device == device);
            open.next().map(|(command, _)| *command)
        });
        let gathered: usize = self.gatherings.values().map(|g| g.channels.len()).sum();
        let Some((command, gathering)) =
            command.and_then(|command| Some((command, self.gatherings.get_mut(&command)?)))
        else {
            return;
        };
        let room = MAX_GATHERED.saturating_sub(gathered);
        let room = room.min(MAX_CHANNELS.saturating_sub(gathering.channels.len()));
        let is_full = channels.len() > room;
        gathering.channels.extend(channels.into_iter().take(room).map(|item| (item.id, item)));
        gathering.bad += bad;
        let has_all = total.is_some_and(|total| gathering.channels.len() + gathering.bad >= total);
        if has_all || is_full {
            self.deliver(command, has_all);
        } else {
            self.timers.set(Timer::Catalogue(command), now + self.settings.catalogue_timeout);
        }
    }

    /// Hands over what there is of a catalogue.
    pub(super) fn deliver(&mut self, command: CommandId, complete: bool) {
        self.timers.clear(&Timer::Catalogue(command));
        let Some(Gathering { device, channels, bad }) = self.gatherings.remove(&command) else {
            return;
        };
        if channels.is_empty() && bad == 0 && !complete {
            let why = Failure::NoAnswer;
            self.events.push_back(Event::CommandFailed { device, command, why });
            return;
        }
        let channels = channels.into_values().collect();
        self.events.push_back(Event::Catalogue { device, command, channels, complete });
    }

    pub(super) fn end_questions_to(&mut self, device: Id) {
        let open = self.gatherings.iter().filter(|(_, gathering)| gathering.device == device);
        let lists = self.lists.iter().filter(|(_, list)| list.device == device);
        let open = open.map(|(command, _)| *command).chain(lists.map(|(command, _)| *command));
        for command in open.collect::<Vec<_>>() {
            self.fail(command, device, Failure::Gone);
        }
    }
}
