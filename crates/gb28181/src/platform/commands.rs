//! What a platform asks of devices and tells them: `MESSAGE` (GB/T 28181-2016 §9.3, §9.5).

use std::net::SocketAddr;
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

/// How a device is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) peer: Peer,
    /// Where it reaches us.
    pub(super) local: SocketAddr,
}

/// What a request that begins a conversation is about.
pub(super) struct Heading<'a> {
    pub(super) method: Method,
    /// The device or channel that is asked.
    pub(super) target: Id,
    pub(super) way: Way,
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
        let way = self.reach(device)?;
        let command = self.command();
        self.gatherings.insert(command, Gathering::of(device));
        self.timers.set(Timer::Catalogue(command), now + LIFETIME);
        let body = Query::Catalog.to_xml(command.0, device);
        self.tell(device, way, body, Purpose::Catalogue(command, device), now);
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
        let way = self.reach(device)?;
        let is_2022 = self.devices.get(&device).is_some_and(super::Device::is_2022);
        let command = self.command();
        let body = control.to_xml(command.0, channel, is_2022);
        self.tell(channel, way, body, Purpose::Command(command, device), now);
        Ok(command)
    }

    fn ask(&mut self, device: Id, query: Query, now: Instant) -> Result<CommandId, CommandError> {
        let way = self.reach(device)?;
        let command = self.command();
        let body = query.to_xml(command.0, device);
        self.tell(device, way, body, Purpose::Command(command, device), now);
        Ok(command)
    }

    pub(super) fn tell(
        &mut self,
        target: Id,
        way: Way,
        body: String,
        purpose: Purpose,
        now: Instant,
    ) {
        let (conversation, tag) = (self.token("call"), self.token("tag"));
        let heading = Heading {
            method: Method::Message,
            target,
            way,
            conversation: &conversation,
            tag: &tag,
            number: 1,
        };
        let mut request = self.heading(heading);
        request.fields.push("Content-Type", "Application/MANSCDP+xml");
        request.body = body.into();
        self.requests.start(request, way.peer, purpose, now, &mut self.out);
    }

    /// Where a device is, if one more request may be sent.
    pub(super) fn reach(&self, device: Id) -> Result<Way, CommandError> {
        if self.requests.is_full() {
            return Err(CommandError::TooMany("requests"));
        }
        self.way_to(device).ok_or(CommandError::NotOnline(device))
    }

    /// Where a device is, if it is there.
    pub(super) fn way_to(&self, device: Id) -> Option<Way> {
        let device = self.devices.get(&device)?;
        Some(Way { peer: device.peer, local: device.local.unwrap_or(self.settings.address) })
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
        let Heading { method, target, way, conversation, tag, number } = heading;
        let uri = format!("sip:{target}@{}", way.peer.address);
        let mut request = Request::new(method.clone(), uri);
        let via = self.via(way);
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
    pub(super) fn via(&mut self, way: Way) -> String {
        let branch = self.token("branch");
        let (transport, address) = (way.peer.via(), way.local);
        format!("SIP/2.0/{transport} {address};rport;branch=z9hG4bK{branch}")
    }

    /// Where a device reaches us.
    pub(super) fn contact(&self, way: Way) -> String {
        format!("<sip:{}@{}>", self.settings.id, way.local)
    }
}
