//! Which media there are, where they are (RFC 2326 §C.1.1), and what they travel over.

use std::collections::VecDeque;

use rtp::sdp;

use super::{Start, TransportChoice, answer, caller};
use crate::Error;
use crate::message::Response;
use crate::transport::{Lower, Transport};
use crate::url::resolve;

/// What is set up, and what is still to be.
#[derive(Debug)]
pub(super) struct Plan {
    /// What requests are about that are not about one medium.
    pub(super) aggregate: String,
    /// The addresses of all media.
    media: Vec<String>,
    /// What is still to be set up.
    wanted: VecDeque<usize>,
    /// What is set up.
    ready: Vec<usize>,
    /// Channels that are in use.
    channels: Vec<(u8, u8)>,
    choice: TransportChoice,
}

impl Plan {
    pub(super) fn new(uri: String, choice: TransportChoice) -> Self {
        Self {
            aggregate: uri,
            media: Vec::new(),
            wanted: VecDeque::new(),
            ready: Vec::new(),
            channels: Vec::new(),
            choice,
        }
    }

    /// Takes the addresses of the session and its media; relative ones continue `base`.
    pub(super) fn describe(&mut self, base: &str, description: &sdp::Session) {
        let of = |control: Option<&str>| caller::clean(&resolve(base, control.unwrap_or("*")));
        self.media = description.media.iter().map(|media| of(media.attribute("control"))).collect();
        self.aggregate = of(description.attribute("control"));
    }

    /// Adds a medium to what is wanted, unless there is no such or it is already.
    pub(super) fn want(&mut self, media: usize) {
        if media < self.media.len() && !self.wanted.contains(&media) {
            self.wanted.push_back(media);
        }
    }

    pub(super) fn want_all(&mut self) {
        self.wanted = (0..self.media.len()).collect();
    }

    /// The medium that is to be set up next.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.wanted.pop_front()
    }

    /// Whether anything is set up.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn uri(&self, media: usize) -> &str {
        self.media.get(media).map_or(&self.aggregate, String::as_str)
    }

    /// Whether ports are to be offered for the next medium.
    pub(super) fn wants_ports(&self) -> bool {
        self.choice != TransportChoice::Tcp
    }

    /// Takes it that the server refuses datagrams; whether there is another way for this medium.
    /// Once they were agreed on for another one, there is none: servers send all media one way.
    pub(super) fn fall_back(&mut self, media: usize) -> bool {
        let may = self.choice == TransportChoice::UdpThenTcp && self.ready.is_empty();
        if may {
            self.choice = TransportChoice::Tcp;
            self.wanted.push_front(media);
        }
        may
    }

    /// Channels to offer for the next medium.
    pub(super) fn channels(&self) -> Result<(u8, u8), Error> {
        answer::free_channels(self.ready.len(), &self.channels).ok_or_else(|| Error::Answer {
            method: "SETUP",
            what: "leaves no channel free".to_owned(),
        })
    }

    /// Takes the server's answer to what was offered for a medium.
    pub(super) fn agree(
        &mut self,
        media: usize,
        offer: &Transport,
        response: &Response,
    ) -> Result<Transport, Error> {
        let senseless = |what: &str| Error::Answer { method: "SETUP", what: what.to_owned() };
        let mut transport =
            answer::transport(offer, response.fields.get("Transport")).map_err(senseless)?;
        if transport.lower == Lower::Tcp {
            if self.choice == TransportChoice::Udp {
                return Err(senseless("wants packets over the connection"));
            }
            self.choice = TransportChoice::Tcp;
            // Servers that answer each SETUP with the same channels mean those they were asked for.
            let told = transport.interleaved.filter(|pair| answer::is_free(*pair, &self.channels));
            let channels = match told.or(offer.interleaved) {
                Some(channels) => channels,
                None => self.channels()?,
            };
            transport.interleaved = Some(channels);
            self.channels.push(channels);
        }
        self.ready.push(media);
        Ok(transport)
    }

    /// What `RTP-Info` says of all that is set up.
    pub(super) fn starts(&self, info: Option<&str>) -> Vec<Start> {
        let tracks: Vec<_> = self.ready.iter().map(|&media| (media, self.uri(media))).collect();
        answer::starts(info, &tracks)
    }
}
