//! What devices are to tell by themselves: `SUBSCRIBE` (RFC 6665; GB/T 28181-2016 §9.11).

use std::time::{Duration, Instant};

use super::commands::Heading;
use super::{CommandError, CommandId, Event, Failure, Platform, Purpose, Timer, reason};
use crate::id::Id;
use crate::manscdp::Topic;
use crate::message::{Method, Response, Status};

/// The shortest time after which a subscription is renewed, whatever a device grants.
const MIN_REFRESH: Duration = Duration::from_secs(30);

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    command: CommandId,
    expires: Duration,
    conversation: String,
    tag: String,
    /// `To`, with the tag of the device once it has answered.
    to: Option<String>,
    number: u32,
    /// Its owner knows that it was taken.
    told: bool,
}

impl Platform {
    /// Asks a device to tell something by itself for as long as `expires`, which is then renewed
    /// until the device is gone; zero ends that. [`Event::CommandDone`] tells of the first success;
    /// [`Event::CommandFailed`] that there is no subscription any more.
    ///
    /// # Errors
    /// [`CommandError`] when nothing was sent.
    pub fn subscribe(
        &mut self,
        device: Id,
        topic: Topic,
        expires: Duration,
        now: Instant,
    ) -> Result<CommandId, CommandError> {
        self.reach(device)?;
        let command = self.command();
        let key = (device, topic);
        let subscription = match self.subscriptions.remove(&key) {
            Some(known) => Subscription { command, expires, told: false, ..known },
            None => {
                let (conversation, tag) = (self.token("call"), self.token("tag"));
                Subscription {
                    command,
                    expires,
                    conversation,
                    tag,
                    to: None,
                    number: 0,
                    told: false,
                }
            }
        };
        self.subscriptions.insert(key, subscription);
        self.send_subscribe(device, topic, now)?;
        Ok(command)
    }

    /// A subscription is to be renewed.
    pub(super) fn refresh(&mut self, device: Id, topic: Topic, now: Instant) {
        if self.send_subscribe(device, topic, now).is_err() {
            // There are too many requests: a little later there are fewer.
            self.timers.set(Timer::Refresh(device, topic), now + MIN_REFRESH);
        }
    }

    fn send_subscribe(
        &mut self,
        device: Id,
        topic: Topic,
        now: Instant,
    ) -> Result<(), CommandError> {
        let way = self.reach(device)?;
        let Some(subscription) = self.subscriptions.get_mut(&(device, topic)) else {
            return Ok(());
        };
        subscription.number += 1;
        let Subscription { command, expires, number, .. } = *subscription;
        let (conversation, tag) = (subscription.conversation.clone(), subscription.tag.clone());
        let to = subscription.to.clone();
        let (conversation, tag) = (&*conversation, &*tag);
        let method = Method::Subscribe;
        let mut request =
            self.heading(Heading { method, target: device, way, conversation, tag, number });
        if let Some(to) = to {
            request.fields.replace("To", &to);
        }
        request.fields.push("Contact", self.contact(way));
        // The standard has the same name of events for all but catalogues.
        let event = if topic == Topic::Catalog { "Catalog" } else { "presence" };
        request.fields.push("Event", event);
        request.fields.push("Expires", expires.as_secs().to_string());
        request.fields.push("Content-Type", "Application/MANSCDP+xml");
        request.body = topic.to_xml(command.0, device).into();
        let purpose = Purpose::Subscribe(command, device, topic);
        self.requests.start(request, way.peer, purpose, now, &mut self.out);
        Ok(())
    }

    pub(super) fn subscribe_answered(
        &mut self,
        command: CommandId,
        device: Id,
        topic: Topic,
        response: &Response,
        now: Instant,
    ) {
        let key = (device, topic);
        let current = self.subscriptions.get_mut(&key).filter(|s| s.command == command);
        let Some(subscription) = current else { return };
        if !response.status.is_success() {
            let (began, expires) = (subscription.to.is_some(), subscription.expires);
            self.end_subscription(device, topic);
            // The device has forgotten it: that is the time for a new one.
            if began && !expires.is_zero() && response.status == Status::CALL_DOES_NOT_EXIST {
                let (conversation, tag) = (self.token("call"), self.token("tag"));
                let (to, number, told) = (None, 0, true);
                let renewed =
                    Subscription { command, expires, conversation, tag, to, number, told };
                self.subscriptions.insert(key, renewed);
                if self.send_subscribe(device, topic, now).is_ok() {
                    return;
                }
                self.end_subscription(device, topic);
            }
            let why = Failure::Refused { status: response.status, reason: reason(response) };
            self.fail(command, device, why);
            return;
        }
        let first = !std::mem::replace(&mut subscription.told, true);
        subscription.to = response.fields.get("To").map(ToOwned::to_owned);
        if subscription.expires.is_zero() {
            self.end_subscription(device, topic);
            self.events.push_back(Event::CommandDone { device, command });
            return;
        }
        let granted = response.fields.expires().map(|seconds| Duration::from_secs(seconds.into()));
        let granted = granted.unwrap_or(subscription.expires).min(subscription.expires);
        let again = (granted * 4 / 5).max(MIN_REFRESH);
        self.timers.set(Timer::Refresh(device, topic), now + again);
        if first {
            self.events.push_back(Event::CommandDone { device, command });
        }
    }

    pub(super) fn end_subscription(&mut self, device: Id, topic: Topic) {
        self.subscriptions.remove(&(device, topic));
        self.timers.clear(&Timer::Refresh(device, topic));
    }

    pub(super) fn end_subscriptions_of(&mut self, device: Id) {
        for topic in [Topic::Catalog, Topic::Alarm, Topic::MobilePosition] {
            self.end_subscription(device, topic);
        }
    }
}
