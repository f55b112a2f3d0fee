//! The publishing side of an RTMP connection: its message streams and what they publish.

use std::time::Instant;

use ::rtmp::command::Level;
use ::rtmp::server::{Event, Session as Machine, StreamId};
use hub::gate::{Action, Credentials};
use hub::{EndReason, PublishError, Role, StreamName};

use super::{State, protocol_reason};
use crate::context::Tenure;
use crate::ingest::Ingest;

/// What a connection publishes, by message stream.
#[derive(Default)]
pub(super) struct Publishers {
    streams: Vec<(StreamId, StreamName, Ingest)>,
}

impl Publishers {
    /// The peer asks to publish: it is refused before any success is said, or accepted.
    pub(super) async fn begin(
        &mut self,
        state: &mut State,
        stream: StreamId,
        name: &str,
    ) -> Result<(), EndReason> {
        let before = (!self.streams.is_empty()).then(|| state.tenure.session().address());
        let refusal = match state.resolve(name, Role::Pub) {
            Ok(name) => {
                let asked = state.tenure.ask(Action::Publish, Some(&name), Credentials::default());
                let allowed = asked.await;
                let session = state.tenure.session();
                match allowed.map(|()| state.context.publish(session, &name)) {
                    Ok(Ok(publication)) => {
                        let ingest = Ingest::new(publication, session.id().clone());
                        self.streams.push((stream, name, ingest));
                        let accepted = state.machine.accept_publish(stream, Instant::now());
                        return accepted.map_err(|e| protocol_reason(&e));
                    }
                    Ok(Err(error @ PublishError::Occupied(_))) => {
                        ("NetStream.Publish.BadName", error.to_string())
                    }
                    Ok(Err(error)) => ("NetStream.Publish.Failed", error.to_string()),
                    Err(denial) => ("NetStream.Publish.Denied", denial.to_string()),
                }
            }
            Err(error) => ("NetStream.Publish.BadName", error),
        };
        let (code, text) = refusal;
        state
            .machine
            .reject_publish(stream, code, &text, Instant::now())
            .map_err(|e| protocol_reason(&e))?;
        let Some(address) = before else {
            // Encoders retry for ever when the connection stays open after a refusal.
            return Err(EndReason::Refused(text));
        };
        // What it publishes already goes on under its own name.
        state.tenure.session().assume(Role::Pub, address);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The message stream no longer publishes.
    pub(super) fn end(&mut self, stream: StreamId, tenure: &Tenure) {
        let ended = self.streams.extract_if(.., |(id, ..)| *id == stream);
        for (_, name, ingest) in ended {
            drop(ingest);
            tenure.leave(&name, &EndReason::PeerClosed);
        }
    }

    /// Takes media in.
    pub(super) fn media(&mut self, event: Event, arrival: Instant) -> Result<(), EndReason> {
        let (Event::Audio { stream, .. }
        | Event::Video { stream, .. }
        | Event::Data { stream, .. }) = event
        else {
            return Ok(());
        };
        // Media of a stream that has just ended may still be on its way.
        let Some((.., ingest)) = self.streams.iter_mut().find(|(id, ..)| *id == stream) else {
            return Ok(());
        };
        let taken = match event {
            Event::Audio { timestamp, payload, .. } => ingest.audio(timestamp, &payload, arrival),
            Event::Video { timestamp, payload, .. } => ingest.video(timestamp, &payload, arrival),
            Event::Data { timestamp, payload, .. } => ingest.script(timestamp, &payload, arrival),
            _ => Ok(()),
        };
        taken.map_err(|_| EndReason::TakenOver)
    }

    /// Tells every message stream why it ends.
    pub(super) fn say_goodbye(&self, machine: &mut Machine, reason: &EndReason) {
        let text = reason.to_string();
        for (stream, ..) in &self.streams {
            // A machine that cannot say it has nobody to say it to.
            let _ = machine.notify_status(*stream, Level::Error, "NetStream.Publish.Denied", &text);
        }
    }
}
