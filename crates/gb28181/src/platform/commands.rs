//! What a platform asks of devices and tells them: `MESSAGE` (GB/T 28181-2016 §9.3, §9.5).

use std::time::Instant;

use super::reports::Gathering;
use super::{CallId, CommandId, Platform, Purpose, Timer};
use crate::id::Id;
use crate::manscdp::{Control, Query};
use crate::message::{CSeq, Method, Request};
use crate::peer::Peer;
use crate::transaction::LIFETIME;

/// Catalogues that are put together at once.
const MAX_GATHERINGS: usize = 1024;

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The device is not registered, or gone.
    #[error("the device {0} is not online")]
    NotOnline(Id),
    /// There is no such call, or it is not in a state for that.
    #[error("there is no such call, or it was not answered")]
    NoCall(CallId),
    /// There are as many of them as there may be.
    #[error("there are too many {0} at once")]
    TooMany(&'static str),
}

/// What a request that begins a conversation is about.
pub(super) struct Heading<'a> {
    pub(super) method: Method,
    /// The device or channel that is asked.
    pub(super) target: Id,
    pub(super) peer: Peer,
    pub(super) conversation: &'a str,
    pub(super) tag: &'a str,
    pub(super) number: u32,
}

impl Platform {
    /// Asks what is in a device. [`super::Event::Catalogue`] tells, or
    /// [`super::Event::CommandFailed`].
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn catalog(&mut self, device: Id, now: Instant) -> Result<CommandId, CommandError> {
        if self.gatherings.len() >= MAX_GATHERINGS {
            return Err(CommandError::TooMany("catalogues"));
        }
        let peer = self.reach(device)?;
        let command = self.command();
        self.gatherings.insert(command, Gathering::of(device));
        self.timers.set(Timer::Catalogue(command), now + LIFETIME);
        let body = Query::Catalog.to_xml(command.0, device);
        self.tell(device, peer, body, Purpose::Catalogue(command, device), now);
        Ok(command)
    }

    /// Asks what a device is. [`super::Event::DeviceInfo`] tells.
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn device_info(&mut self, device: Id, now: Instant) -> Result<CommandId, CommandError> {
        self.ask(device, Query::DeviceInfo, now)
    }

    /// Asks how a device is. [`super::Event::DeviceStatus`] tells.
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn device_status(&mut self, device: Id, now: Instant) -> Result<CommandId, CommandError> {
        self.ask(device, Query::DeviceStatus, now)
    }

    /// Tells a channel of a device, or the device itself, what to do.
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn control(
        &mut self,
        device: Id,
        channel: Id,
        control: Control,
        now: Instant,
    ) -> Result<CommandId, CommandError> {
        let peer = self.reach(device)?;
        let is_2022 = self.devices.get(&device).is_some_and(super::Device::is_2022);
        let command = self.command();
        let body = control.to_xml(command.0, channel, is_2022);
        self.tell(channel, peer, body, Purpose::Command(command, device), now);
        Ok(command)
    }

    fn ask(&mut self, device: Id, query: Query, now: Instant) -> Result<CommandId, CommandError> {
        let peer = self.reach(device)?;
        let command = self.command();
        let body = query.to_xml(command.0, device);
        self.tell(device, peer, body, Purpose::Command(command, device), now);
        Ok(command)
    }

    fn tell(&mut self, target: Id, peer: Peer, body: String, purpose: Purpose, now: Instant) {
        let (conversation, tag) = (self.token("call"), self.token("tag"));
        let heading = Heading {
            method: Method::Message,
            target,
            peer,
            conversation: &conversation,
            tag: &tag,
            number: 1,
        };
        let mut request = self.heading(heading);
        request.fields.push("Content-Type", "Application/MANSCDP+xml");
        request.body = body.into();
        self.requests.start(request, peer, purpose, now, &mut self.out);
    }

    /// Where a device is, if one more request may be sent.
    pub(super) fn reach(&self, device: Id) -> Result<Peer, CommandError> {
        if self.requests.is_full() {
            return Err(CommandError::TooMany("requests"));
        }
        let device = self.devices.get(&device).ok_or(CommandError::NotOnline(device))?;
        Ok(device.peer)
    }

    pub(super) fn command(&mut self) -> CommandId {
        let command = CommandId(self.next_command);
        // Some devices take numbers for signed ones, and none for zero.
        self.next_command =
            if self.next_command >= i32::MAX as u32 { 1 } else { self.next_command + 1 };
        command
    }

    /// A request outside of a conversation, or the one that begins it.
    pub(super) fn heading(&mut self, heading: Heading<'_>) -> Request {
        let Heading { method, target, peer, conversation, tag, number } = heading;
        let uri = format!("sip:{target}@{}", peer.address);
        let mut request = Request::new(method.clone(), uri);
        let via = self.via(peer);
        let domain = &self.settings.domain;
        let fields = &mut request.fields;
        fields.push("Via", via);
        fields.push("From", format!("<sip:{}@{domain}>;tag={tag}", self.settings.id));
        fields.push("To", format!("<sip:{target}@{domain}>"));
        fields.push("Call-ID", conversation);
        fields.push("CSeq", CSeq { number, method }.to_string());
        fields.push("Max-Forwards", "70");
        fields.push("User-Agent", self.settings.user_agent.clone());
        request
    }

    /// A `Via` with a branch of its own.
    pub(super) fn via(&mut self, peer: Peer) -> String {
        let branch = self.token("branch");
        let (transport, address) = (peer.via(), self.settings.address);
        format!("SIP/2.0/{transport} {address};rport;branch=z9hG4bK{branch}")
    }

    /// Where devices reach us.
    pub(super) fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.settings.id, self.settings.address)
    }
}
