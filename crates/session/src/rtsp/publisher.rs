//! A publisher: what it announces, and how its tracks come.

use std::sync::Arc;
use std::time::Instant;

use ::rtp::Error;
use ::rtp::format::Format;
use ::rtp::sdp::Media;
use ::rtsp::message::Status;
use ::rtsp::transport::{Lower, Mode, Transport};
use ::rtsp::url;
use hub::{EndReason, Publication, Session};
use tracing::warn;

use super::State;
use super::receive::{Receiving, Way};

/// A connection that publishes.
pub(super) struct Publisher {
    /// Until packets are taken.
    publication: Option<Publication>,
    session: Arc<Session>,
    media: Vec<Media>,
    formats: Vec<Result<Format, Error>>,
    /// What was set up: the place in the announcement, and how it comes.
    tracks: Vec<(usize, Way)>,
    receiving: Option<Receiving>,
}

impl Publisher {
    pub(super) fn new(
        publication: Publication,
        session: Arc<Session>,
        media: &[Media],
        formats: Vec<Result<Format, Error>>,
    ) -> Self {
        let (media, tracks) = (media.to_vec(), Vec::new());
        let publication = Some(publication);
        Self { publication, session, media, formats, tracks, receiving: None }
    }

    /// Its packets, once it records.
    pub(super) fn receiving(&mut self) -> Option<&mut Receiving> {
        self.receiving.as_mut()
    }

    /// Whether an address is that of a medium, and there are others.
    pub(super) fn has_more_than(&self, uri: &str) -> bool {
        let mut controls = self.media.iter().filter_map(|media| media.attribute("control"));
        self.media.len() > 1 && controls.any(|control| url::is_of_track(uri, control))
    }

    /// Answers `SETUP`.
    pub(super) fn setup(&mut self, state: &mut State, uri: &str, transports: &[Transport]) {
        let controls = self.media.iter().map(|media| media.attribute("control").unwrap_or("*"));
        let named = controls.into_iter().position(|control| url::is_of_track(uri, control));
        let is_free = |medium: &usize| self.tracks.iter().all(|(known, _)| known != medium);
        let medium = named.or_else(|| (0..self.media.len()).find(is_free));
        let Some(medium) = medium else {
            return state.machine.reject(Status::NOT_FOUND, "No Such Medium Was Announced");
        };
        if let Some(Err(error)) = self.formats.get(medium) {
            let text = format!("Medium {medium}: {error}");
            return state.machine.reject(Status::UNSUPPORTED_MEDIA, &text);
        }
        self.tracks.retain(|(known, _)| *known != medium);
        let accepted = transports.iter().find_map(|offer| self.accept(state, medium, offer));
        let Some((way, mut answer)) = accepted else {
            return state.machine.reject(Status::UNSUPPORTED_TRANSPORT, "");
        };
        answer.mode = Some(Mode::Record);
        self.tracks.push((medium, way));
        state.machine.accept_setup(&answer);
    }

    fn accept(&self, state: &State, medium: usize, offer: &Transport) -> Option<(Way, Transport)> {
        if offer.secure || offer.multicast {
            return None;
        }
        match offer.lower {
            Lower::Tcp => {
                let own = u8::try_from(medium * 2).ok().map(|channel| (channel, channel + 1))?;
                let (rtp, rtcp) = offer.interleaved.unwrap_or(own);
                let uses = |way: &Way| match way {
                    Way::Interleaved { rtp: a, rtcp: b } => {
                        [a, b].iter().any(|c| [rtp, rtcp].contains(c))
                    }
                    Way::Datagrams { .. } => false,
                };
                let taken = self.tracks.iter().any(|(_, way)| uses(way));
                let answer = Transport::interleaved((rtp, rtcp));
                (!taken && rtp != rtcp).then_some((Way::Interleaved { rtp, rtcp }, answer))
            }
            Lower::Udp => {
                let client_port = offer.client_port.unwrap_or_default();
                let local = state.local.filter(|_| state.settings.rtsp.udp)?;
                let peer = state.admitted.peer().ip();
                let pair = match state.rtsp.ports.pair_for(peer, local.ip()) {
                    Ok(pair) => pair,
                    Err(error) => {
                        warn!(peer = %state.admitted.peer(), %error, "no ports are free for RTP");
                        return None;
                    }
                };
                let server_port = Some((pair.rtp.port().ok()?, pair.rtcp.port().ok()?));
                let way = Way::Datagrams { pair, peer, source: None };
                Some((way, Transport { server_port, ..Transport::datagrams(client_port) }))
            }
        }
    }

    /// Answers `RECORD`: packets are taken from now on.
    pub(super) fn record(&mut self, state: &mut State, now: Instant) -> Result<(), EndReason> {
        // The last track may have been given up by a SETUP that was refused.
        let publication = self.publication.take_if(|_| !self.tracks.is_empty());
        let Some(publication) = publication else {
            state.machine.reject(Status::NOT_VALID_IN_STATE, "");
            return Ok(());
        };
        self.tracks.sort_by_key(|(medium, _)| *medium);
        let tracks = self.tracks.drain(..).filter_map(|(medium, way)| {
            let format = self.formats.get(medium)?.clone().ok()?;
            Some((format, way))
        });
        let (tracks, session) = (tracks.collect(), self.session.clone());
        let idle = state.rtsp.context.settings.load().rtsp.publisher_idle;
        let receiving = Receiving::new(publication, session, tracks, &state.rtsp, idle, now)?;
        self.receiving = Some(receiving);
        state.machine.accept();
        Ok(())
    }
}
