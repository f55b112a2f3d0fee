//! Who is there: `REGISTER` (RFC 3261 §10.3, §22; GB/T 28181-2016 §9.1), and how long.
//!
//! A nonce tells its age, and holds for one device at one address, so nothing has to be remembered
//! of those who have not proved anything. Devices without `qop` use one again; what was accepted is
//! not accepted once more in the same words.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use auth::{Credentials, Scheme, challenge};

use super::{Event, Gone, Platform, Timer};
use crate::id::Id;
use crate::local_time;
use crate::message::{Request, Response, Status};
use crate::peer::Peer;

/// How long a nonce holds: devices answer at once.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// What a device gets that does not say how long.
const DEFAULT_EXPIRES: Duration = Duration::from_secs(3600);

/// `REGISTER`s that may come from an address at once: hundreds of devices behind one address may
/// come back together after a power cut.
const BURST: u32 = 500;

/// After this time an address may send another one.
const REFILL: Duration = Duration::from_millis(20);

/// Addresses that are told apart; those beyond have one allowance together.
const MAX_BUCKETS: usize = 4096;

/// How often those are looked for that have sent nothing for long.
const SWEEP: Duration = Duration::from_secs(1);

/// A device that is registered.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: Id,
    pub(super) peer: Peer,
    /// Where it reaches us, if that was said.
    pub(super) local: Option<SocketAddr>,
    pub(super) version: Option<String>,
    expires: Instant,
    heard: Instant,
    /// The last proof that was accepted, with its place in its conversation.
    proof: Option<(String, String, u32)>,
}

impl Device {
    /// Whether it follows the edition of 2022.
    pub(super) fn is_2022(&self) -> bool {
        self.version.as_deref().is_some_and(|version| version.trim().starts_with('3'))
    }
}

/// How many requests an address may still send.
#[derive(Debug)]
pub(super) struct Bucket {
    left: u32,
    since: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_millis() / REFILL.as_millis();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.since = now;
        }
        let has = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has
    }

    /// Whether it is as good as new.
    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > REFILL * BURST
    }
}

impl Platform {
    /// The answer to a `REGISTER`; none to one of a flood.
    pub(super) fn register(
        &mut self,
        request: &Request,
        peer: Peer,
        now: Instant,
    ) -> Option<Response> {
        if !self.may_register(peer.address.ip(), now) {
            return None;
        }
        let names = ["To", "From", "Contact"];
        let users = names.iter().filter_map(|name| request.fields.address(name));
        let Some(id) = users.filter_map(|address| address.user().parse::<Id>().ok()).next() else {
            let mut answer = self.answer(request, Status::BAD_REQUEST, peer);
            "neither To nor From has an identifier of 20 digits".clone_into(&mut answer.reason);
            return Some(answer);
        };
        let proof = match self.settings.password_of(id) {
            None if self.settings.open => None,
            None => {
                return Some(self.turn_away(request, id, peer, "there is no password for it"));
            }
            Some(password) => {
                let header = request.fields.get("Authorization");
                let Some(credentials) = header.and_then(Credentials::parse) else {
                    return Some(self.challenge(request, id, peer, false, now));
                };
                let nonce = credentials.nonce().unwrap_or_default().to_owned();
                let Scheme::Digest(algorithm) = credentials.scheme() else {
                    return Some(self.challenge(request, id, peer, false, now));
                };
                let method = request.method.name();
                let proves = self.settings.algorithms.contains(&algorithm)
                    && credentials.proves(password, method, &self.settings.realm, &nonce);
                let proof = (
                    nonce,
                    request.fields.get("Call-ID").unwrap_or_default().to_owned(),
                    request.fields.cseq().map_or(0, |cseq| cseq.number),
                );
                if !self.is_fresh(&proof.0, id, peer, now) || self.was_accepted(id, &proof) {
                    return Some(self.challenge(request, id, peer, proves, now));
                }
                if !proves {
                    return Some(self.turn_away(request, id, peer, "its password is wrong"));
                }
                Some(proof)
            }
        };
        Some(self.accept(request, id, peer, proof, now))
    }

    fn accept(
        &mut self,
        request: &Request,
        id: Id,
        peer: Peer,
        proof: Option<(String, String, u32)>,
        now: Instant,
    ) -> Response {
        let asked = request.fields.expires().map(|seconds| Duration::from_secs(seconds.into()));
        if asked.is_some_and(|expires| expires.is_zero()) {
            let answer = self.welcome(request, peer, Duration::ZERO, now);
            if self.devices.contains_key(&id) {
                self.forget(id);
                self.events.push_back(Event::Unregistered { device: id });
            }
            return answer;
        }
        let again = self.devices.contains_key(&id);
        if !again && self.devices.len() >= self.settings.max_devices {
            let answer = self.answer(request, Status::SERVICE_UNAVAILABLE, peer);
            let why = "there are as many devices as there may be";
            self.events.push_back(Event::RegistrationRefused { device: id, peer, why });
            return answer;
        }
        let (shortest, longest) = (self.settings.min_expires, self.settings.max_expires);
        let expires = asked.unwrap_or(DEFAULT_EXPIRES).min(longest).max(shortest);
        let text = |name| {
            let value: Option<&str> = request.fields.get(name);
            value.map(|value| value.chars().take(128).collect::<String>())
        };
        let (version, user_agent) = (text("X-GB-Ver"), text("User-Agent"));
        let until = now + expires;
        let before = self.devices.get(&id);
        let stayed = before.filter(|before| before.peer.address.ip() == peer.address.ip());
        let local = stayed.and_then(|before| before.local);
        let device =
            Device { id, peer, local, version: version.clone(), expires: until, heard: now, proof };
        *self.hosts.entry(peer.address.ip()).or_default() += 1;
        if let Some(before) = self.devices.insert(id, device) {
            self.leave_host(before.peer.address.ip());
        }
        self.watch(id);
        if self.stale.contains_key(&id) {
            // After the answer to this.
            self.timers.set(Timer::Stale(id), now);
        }
        self.events.push_back(Event::Registered { device: id, peer, again, version, user_agent });
        self.welcome(request, peer, expires, now)
    }

    /// That it is registered, for how long, and what time it is.
    fn welcome(
        &mut self,
        request: &Request,
        peer: Peer,
        expires: Duration,
        now: Instant,
    ) -> Response {
        let mut answer = self.answer(request, Status::OK, peer);
        if let Some(contact) = request.fields.get("Contact") {
            answer.fields.push("Contact", contact);
        }
        answer.fields.push("Expires", expires.as_secs().to_string());
        if let Some(time) = self.time_of_day(now).filter(|_| self.settings.set_clocks) {
            answer.fields.push("Date", local_time::to_text(time, self.settings.utc_offset));
        }
        if request.fields.get("X-GB-Ver").is_some() {
            answer.fields.push("X-GB-Ver", "3.0");
        }
        answer
    }

    fn challenge(
        &mut self,
        request: &Request,
        id: Id,
        peer: Peer,
        stale: bool,
        now: Instant,
    ) -> Response {
        let nonce = self.nonce(now, id, peer);
        let mut answer = self.answer(request, Status::UNAUTHORIZED, peer);
        for algorithm in &self.settings.algorithms {
            let mut text = challenge(Scheme::Digest(*algorithm), &self.settings.realm, &nonce);
            if stale {
                text.push_str(", stale=true");
            }
            answer.fields.push("WWW-Authenticate", text);
        }
        answer
    }

    fn turn_away(&mut self, request: &Request, id: Id, peer: Peer, why: &'static str) -> Response {
        self.events.push_back(Event::RegistrationRefused { device: id, peer, why });
        self.answer(request, Status::FORBIDDEN, peer)
    }

    fn nonce(&self, now: Instant, id: Id, peer: Peer) -> String {
        let age = now.saturating_duration_since(self.started).as_millis();
        let age = format!("{age:012x}");
        format!("{age}{}", self.nonce_proof(&age, id, peer))
    }

    fn nonce_proof(&self, age: &str, id: Id, peer: Peer) -> String {
        self.digest(&["nonce", age, id.as_str(), &peer.address.ip().to_string()])
    }

    /// Whether this nonce was given to this device at this address, not long ago.
    fn is_fresh(&self, nonce: &str, id: Id, peer: Peer, now: Instant) -> bool {
        let Some((age, proof)) = nonce.split_at_checked(12) else { return false };
        let Ok(made) = u64::from_str_radix(age, 16) else { return false };
        let passed = now.saturating_duration_since(self.started);
        let age_now = passed.saturating_sub(Duration::from_millis(made));
        proof == self.nonce_proof(age, id, peer) && age_now <= NONCE_LIFETIME
    }

    fn was_accepted(&self, id: Id, proof: &(String, String, u32)) -> bool {
        let last = self.devices.get(&id).and_then(|device| device.proof.as_ref());
        last.is_some_and(|last| last.0 == proof.0 && last.1 == proof.1 && proof.2 <= last.2)
    }

    fn may_register(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.buckets.len() >= MAX_BUCKETS && !self.buckets.contains_key(&address) {
            // To look through all of them for each datagram of a flood would serve the flood.
            if now.saturating_duration_since(self.buckets_swept) >= SWEEP {
                self.buckets.retain(|_, bucket| !bucket.is_idle(now));
                self.buckets_swept = now;
            }
            if self.buckets.len() >= MAX_BUCKETS {
                return self.crowd.take(now);
            }
        }
        self.buckets.entry(address).or_insert_with(|| Bucket::full(now)).take(now)
    }

    /// Whether this is a device that is registered, heard from where it is. Its port may have
    /// changed, or its connection: the old one may be dead without anybody knowing.
    pub(super) fn heard(&mut self, id: Id, peer: Peer, now: Instant) -> bool {
        let Some(device) = self.devices.get_mut(&id) else { return false };
        let moved = device.peer.address.ip() != peer.address.ip();
        let same_carrier = device.peer.is_lossy() == peer.is_lossy();
        if now >= device.expires || moved || !same_carrier {
            return false;
        }
        device.peer = peer;
        device.heard = now;
        self.watch(id);
        true
    }

    /// Sets the time at which a device that is not heard from is gone.
    fn watch(&mut self, id: Id) {
        let silence = self.settings.keepalive * self.settings.misses.max(1);
        if let Some(device) = self.devices.get(&id) {
            // A keep-alive that comes just when it is due is not too late.
            let silent = device.heard + silence + self.settings.keepalive / 4;
            self.timers.set(Timer::Device(id), silent.min(device.expires));
        }
    }

    pub(super) fn check_device(&mut self, id: Id, now: Instant) {
        let Some(device) = self.devices.get(&id) else { return };
        let why = if now >= device.expires { Gone::Expired } else { Gone::Silent };
        self.lose(id, why);
    }

    /// A device is gone.
    pub(super) fn lose(&mut self, id: Id, why: Gone) {
        self.forget(id);
        self.events.push_back(Event::Offline { device: id, why });
    }

    /// One device less is there.
    fn leave_host(&mut self, host: IpAddr) {
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }

    fn forget(&mut self, id: Id) {
        if let Some(device) = self.devices.remove(&id) {
            self.leave_host(device.peer.address.ip());
        }
        self.timers.clear(&Timer::Device(id));
        self.end_calls_of(id);
        self.end_questions_to(id);
        self.end_subscriptions_of(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowances_run_out_and_come_back() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        assert_eq!((0..1000).filter(|_| bucket.take(now)).count(), 500);
        assert_eq!((0..1000).filter(|_| bucket.take(now + REFILL * 3)).count(), 3);
    }
}
