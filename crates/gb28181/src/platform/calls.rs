//! Media: `INVITE`, `ACK`, `INFO`, `BYE` (RFC 3261 §12 to §15; GB/T 28181-2016 §9.2, §9.8 and
//! Annex B).

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::commands::{Heading, Way};
use super::{
    CallId, CommandError, CommandId, EndedBy, Event, Failure, MAX_CALLS, Platform, Purpose, Timer,
    reason,
};
use crate::id::Id;
use crate::message::{Address, CSeq, Method, Request, Response, Status};
use crate::peer::Peer;
use crate::sdp::{Answer, Kind, Offer, Transport};
use crate::ssrc::Ssrc;

/// Calls of a device that it is told of when it comes back; cameras take fewer at once.
const MAX_STALE: usize = 32;

/// Devices of which such calls are remembered.
const MAX_STALE_DEVICES: usize = 1024;

/// What a channel is asked to send, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// What is there now, or a recording.
    pub kind: Kind,
    /// Where media is to come to.
    pub address: IpAddr,
    /// The port there. Where we make the connection, one that is never connected to.
    pub port: u16,
    /// How media travels.
    pub transport: Transport,
    /// What it is told apart by: see [`Platform::ssrc`].
    pub ssrc: Ssrc,
}

/// What the sender of a recording is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Playback {
    /// To go on.
    Play,
    /// To wait.
    Pause,
    /// To send this many times as fast; negative numbers are backwards.
    Scale(f32),
    /// To go on at this distance from the beginning.
    Seek(Duration),
    /// To end.
    Teardown,
}

impl Playback {
    /// The body of the `INFO`.
    fn to_text(self, number: u32) -> String {
        // The standard of 2011 alone has another name for the protocol.
        match self {
            Self::Play => format!("PLAY RTSP/1.0\r\nCSeq: {number}\r\nRange: npt=now-\r\n\r\n"),
            Self::Pause => format!("PAUSE RTSP/1.0\r\nCSeq: {number}\r\nPauseTime: now\r\n\r\n"),
            Self::Scale(scale) => {
                format!("PLAY RTSP/1.0\r\nCSeq: {number}\r\nScale: {scale:.6}\r\n\r\n")
            }
            Self::Seek(to) => {
                let seconds = to.as_secs();
                format!("PLAY RTSP/1.0\r\nCSeq: {number}\r\nRange: npt={seconds}-\r\n\r\n")
            }
            Self::Teardown => format!("TEARDOWN RTSP/1.0\r\nCSeq: {number}\r\n\r\n"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has answered.
    Calling,
    /// Given up before an answer; one may be under way.
    GivenUp,
    /// Media flows.
    Answered,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    device: Id,
    channel: Id,
    way: Way,
    ssrc: Ssrc,
    playback: bool,
    state: State,
    branch: String,
    conversation: String,
    tag: String,
    /// `To`, with the tag of the device.
    to: String,
    /// Who is asked: the `Contact` of the answer.
    target: String,
    number: u32,
    /// Requests of the playback control, which are counted by themselves.
    infos: u32,
}

impl Platform {
    /// An SSRC of this domain that no call has; `None` if all ten thousand are taken.
    pub fn ssrc(&mut self, playback: bool) -> Option<Ssrc> {
        let used: HashSet<_> = self.calls.values().map(|call| call.ssrc).collect();
        self.numbers.next(playback, |ssrc| used.contains(&ssrc))
    }

    /// Asks a channel to send. [`Event::CallAnswered`] or [`Event::CallFailed`] follows.
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn invite(
        &mut self,
        device: Id,
        channel: Id,
        invite: &Invite,
        now: Instant,
    ) -> Result<CallId, CommandError> {
        let way = self.reach(device)?;
        if self.calls.len() >= MAX_CALLS {
            return Err(CommandError::TooMany("calls"));
        }
        let Invite { kind, address, port, transport, ssrc } = *invite;
        let platform = self.settings.id;
        let offer = Offer { platform, channel, kind, address, port, transport, ssrc };
        let call = CallId(self.next_call);
        self.next_call += 1;
        let (conversation, tag) = (self.token("call"), self.token("tag"));
        let mut request = self.heading(Heading {
            method: Method::Invite,
            target: channel,
            way,
            conversation: &conversation,
            tag: &tag,
            number: 1,
        });
        request.fields.push("Contact", self.contact(way));
        let subject = format!("{channel}:{ssrc},{platform}:0");
        request.fields.push("Subject", subject);
        request.fields.push("Content-Type", "APPLICATION/SDP");
        request.body = offer.to_sdp().into();
        let branch = request.fields.via().and_then(|via| via.branch().map(ToOwned::to_owned));
        let record = Call {
            device,
            channel,
            way,
            ssrc,
            playback: kind != Kind::Live,
            state: State::Calling,
            branch: branch.unwrap_or_default(),
            conversation,
            tag,
            to: request.fields.get("To").unwrap_or_default().to_owned(),
            target: request.uri.clone(),
            number: 1,
            infos: 0,
        };
        self.conversations.insert(record.conversation.clone(), call);
        self.calls.insert(call, record);
        self.timers.set(Timer::Call(call), now + self.settings.answer_timeout);
        self.requests.start(request, way.peer, Purpose::Invite(call), now, &mut self.out);
        Ok(call)
    }

    /// Ends a call, answered or not. [`Event::CallEnded`] follows.
    ///
    /// # Errors
    /// [`CommandError::NoCall`] when it is over already.
    pub fn bye(&mut self, call: CallId, now: Instant) -> Result<(), CommandError> {
        let state = self.calls.get(&call).map(|call| call.state);
        match state.ok_or(CommandError::NoCall(call))? {
            State::GivenUp => return Err(CommandError::NoCall(call)),
            State::Calling => self.take_back(call, now),
            State::Answered => self.hang_up(call, now),
        }
        self.events.push_back(Event::CallEnded { call, by: EndedBy::Platform });
        Ok(())
    }

    /// Tells the sender of a recording how to go on.
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn playback(
        &mut self,
        call: CallId,
        playback: Playback,
        now: Instant,
    ) -> Result<CommandId, CommandError> {
        if self.requests.is_full() {
            return Err(CommandError::TooMany("requests"));
        }
        let no_call = CommandError::NoCall(call);
        let record = self.calls.get_mut(&call).filter(|call| call.state == State::Answered);
        let record = record.ok_or(no_call)?;
        record.infos += 1;
        let (device, number) = (record.device, record.infos);
        let (mut request, peer) = self.within(call, Method::Info).ok_or(no_call)?;
        request.fields.push("Content-Type", "Application/MANSRTSP");
        request.body = playback.to_text(number).into();
        let command = self.command();
        let purpose = Purpose::Command(command, device);
        self.requests.start(request, peer, purpose, now, &mut self.out);
        Ok(command)
    }

    pub(super) fn invite_answered(
        &mut self,
        call: CallId,
        branch: &str,
        response: &Response,
        now: Instant,
    ) {
        let Some(record) = self.calls.get_mut(&call) else { return };
        if response.status.is_provisional() {
            return;
        }
        let given_up = record.state == State::GivenUp;
        self.timers.clear(&Timer::Call(call));
        if !response.status.is_success() {
            self.forget_call(call);
            if !given_up {
                let why = Failure::Refused { status: response.status, reason: reason(response) };
                self.events.push_back(Event::CallFailed { call, why });
            }
            return;
        }
        record.state = State::Answered;
        if let Some(to) = response.fields.get("To") {
            to.clone_into(&mut record.to);
        }
        let contact = response.fields.get("Contact").and_then(Address::parse);
        // A host that is wrong does no harm: messages go where the device was heard from.
        if let Some(contact) =
            contact.filter(|contact| contact.uri.to_ascii_lowercase().starts_with("sip"))
        {
            record.target = contact.uri;
        }
        if let Some((ack, _)) = self.within(call, Method::Ack) {
            self.requests.acknowledge(branch, ack.to_bytes(), &mut self.out);
        }
        if given_up {
            self.hang_up(call, now);
            return;
        }
        let answer = Answer::parse(&response.body).ok();
        self.events.push_back(Event::CallAnswered { call, answer });
    }

    /// Nobody has answered for as long as we wait.
    pub(super) fn give_up(&mut self, call: CallId, now: Instant) {
        self.take_back(call, now);
        self.events.push_back(Event::CallFailed { call, why: Failure::NoAnswer });
    }

    /// The transaction of an `INVITE` is over without an answer.
    pub(super) fn invite_unanswered(&mut self, call: CallId) {
        self.timers.clear(&Timer::Call(call));
        if self.forget_call(call).is_some_and(|call| call.state == State::Calling) {
            self.events.push_back(Event::CallFailed { call, why: Failure::NoAnswer });
        }
    }

    /// The answer to a `BYE` of a device.
    pub(super) fn hung_up(&mut self, request: &Request, peer: Peer) -> Response {
        let conversation = request.fields.get("Call-ID").unwrap_or_default();
        let call = self.conversations.get(conversation).copied();
        let found = call.and_then(|call| Some((call, self.calls.get(&call)?)));
        let of_peer = |call: &Call| {
            // The device may have moved since it was called.
            let now_at = self.devices.get(&call.device).map(|device| device.peer.address.ip());
            [Some(call.way.peer.address.ip()), now_at].contains(&Some(peer.address.ip()))
        };
        let found = found.filter(|(_, record)| of_peer(record));
        let found = found.map(|(call, record)| (call, record.state));
        match found {
            Some((call, State::Answered)) => {
                self.forget_call(call);
                self.events.push_back(Event::CallEnded { call, by: EndedBy::Device });
                self.answer(request, Status::OK, peer)
            }
            // The answer to the INVITE is still to come.
            Some(_) => self.answer(request, Status::OK, peer),
            None => self.answer(request, Status::CALL_DOES_NOT_EXIST, peer),
        }
    }

    /// The call whose recording has come to its end: that of the conversation, or else the only one
    /// that it can be.
    pub(super) fn playback_of(
        &self,
        device: Id,
        channel: Id,
        conversation: &str,
    ) -> Option<CallId> {
        if let Some(call) = self.conversations.get(conversation)
            && self.calls.get(call).is_some_and(|call| call.device == device)
        {
            return Some(*call);
        }
        let answered = self.calls.iter().filter(|(_, call)| call.state == State::Answered);
        let mut recordings = answered.filter(|(_, call)| call.device == device && call.playback);
        let named = recordings.clone().find(|(_, call)| call.channel == channel);
        let (call, _) = match named {
            Some(named) => named,
            None => recordings.next().filter(|_| recordings.next().is_none())?,
        };
        Some(*call)
    }

    /// A device is gone, and its calls are over; it may not know.
    pub(super) fn end_calls_of(&mut self, device: Id) {
        let calls: Vec<_> = self.calls.iter().filter(|(_, call)| call.device == device).collect();
        let calls: Vec<_> = calls.into_iter().map(|(call, record)| (*call, record.state)).collect();
        for (call, state) in calls {
            self.timers.clear(&Timer::Call(call));
            match state {
                State::Calling => {
                    // If it answers all the same, it is told.
                    if let Some(record) = self.calls.get_mut(&call) {
                        record.state = State::GivenUp;
                    }
                    self.events.push_back(Event::CallFailed { call, why: Failure::Gone });
                }
                State::Answered => {
                    let record = self.forget_call(call);
                    if self.stale.len() < MAX_STALE_DEVICES || self.stale.contains_key(&device) {
                        let stale = self.stale.entry(device).or_default();
                        stale.extend(
                            record.into_iter().take(MAX_STALE - stale.len().min(MAX_STALE)),
                        );
                    }
                    self.events.push_back(Event::CallEnded { call, by: EndedBy::Loss });
                }
                State::GivenUp => {}
            }
        }
    }

    /// A device is back that may still send for calls that ended when it was gone: some take few
    /// calls at once.
    pub(super) fn hang_up_stale(&mut self, device: Id, now: Instant) {
        for mut record in self.stale.remove(&device).unwrap_or_default() {
            let (request, peer) = self.request_of(&mut record, Method::Bye);
            self.requests.start(request, peer, Purpose::Nothing, now, &mut self.out);
        }
    }

    /// Takes back what was not answered. The call is kept until that is settled.
    fn take_back(&mut self, call: CallId, now: Instant) {
        self.timers.clear(&Timer::Call(call));
        let Some(record) = self.calls.get_mut(&call) else { return };
        record.state = State::GivenUp;
        let branch = record.branch.clone();
        self.requests.cancel(&branch, Purpose::Nothing, now, &mut self.out);
    }

    /// Sends a `BYE`, and forgets the call.
    fn hang_up(&mut self, call: CallId, now: Instant) {
        if let Some((request, peer)) = self.within(call, Method::Bye) {
            self.requests.start(request, peer, Purpose::Nothing, now, &mut self.out);
        }
        self.forget_call(call);
    }

    fn forget_call(&mut self, call: CallId) -> Option<Call> {
        let record = self.calls.remove(&call)?;
        self.conversations.remove(&record.conversation);
        Some(record)
    }

    /// A request within a call, and where it goes.
    fn within(&mut self, call: CallId, method: Method) -> Option<(Request, Peer)> {
        let mut record = self.calls.remove(&call)?;
        let request = self.request_of(&mut record, method);
        self.calls.insert(call, record);
        Some(request)
    }

    fn request_of(&mut self, record: &mut Call, method: Method) -> (Request, Peer) {
        // An ACK has the number of what it answers to.
        if method != Method::Ack {
            record.number += 1;
        }
        let number = if method == Method::Ack { 1 } else { record.number };
        record.way = self.way_to(record.device).unwrap_or(record.way);
        let (way, tag) = (record.way, &record.tag);
        let mut request = Request::new(method.clone(), record.target.clone());
        request.fields.push("Via", self.via(way));
        let (id, domain) = (self.settings.id, &self.settings.domain);
        request.fields.push("From", format!("<sip:{id}@{domain}>;tag={tag}"));
        request.fields.push("To", record.to.as_str());
        request.fields.push("Call-ID", record.conversation.as_str());
        request.fields.push("CSeq", CSeq { number, method }.to_string());
        request.fields.push("Max-Forwards", "70");
        request.fields.push("Contact", self.contact(way));
        request.fields.push("User-Agent", self.settings.user_agent.clone());
        (request, way.peer)
    }
}
