//! The RTMP side of a viewer that has joined: acknowledgements, pings, pause, and leaving.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use ::rtmp::command::Level;
use ::rtmp::server::{Event, StreamId};
use bytes::{Bytes, BytesMut};
use hub::EndReason;
use net::{Action, Conn, Peer, Shard};
use tokio::io::AsyncWriteExt;

use super::{Connection, State, protocol_reason};

/// A playing connection.
pub(super) struct Viewer {
    state: State,
    stream: StreamId,
    actions: VecDeque<Action>,
}

impl Viewer {
    pub(super) fn new(state: State, stream: StreamId) -> Self {
        Self { state, stream, actions: VecDeque::new() }
    }

    fn work_off_events(&mut self, now: Instant) -> Result<(), EndReason> {
        let machine = &mut self.state.machine;
        while let Some(event) = machine.poll_event() {
            match event {
                Event::StreamEnded { stream } if stream == self.stream => {
                    self.actions.push_back(Action::Leave);
                }
                Event::Pause { stream, on, .. } if stream == self.stream => {
                    self.actions.push_back(if on { Action::Pause } else { Action::Resume });
                }
                Event::ReceiveAudio { stream, on } if stream == self.stream => {
                    self.actions.push_back(Action::Audio(on));
                }
                Event::ReceiveVideo { stream, on } if stream == self.stream => {
                    self.actions.push_back(Action::Video(on));
                }
                Event::Publish { stream, .. } => machine
                    .reject_publish(
                        stream,
                        "NetStream.Publish.Denied",
                        "this connection plays",
                        now,
                    )
                    .map_err(|e| protocol_reason(&e))?,
                Event::Play { stream, .. } => machine
                    .reject_play(
                        stream,
                        "NetStream.Play.Failed",
                        "this connection plays already",
                        now,
                    )
                    .map_err(|e| protocol_reason(&e))?,
                Event::Seek { stream, .. } => machine
                    .notify_status(
                        stream,
                        Level::Error,
                        "NetStream.Seek.Failed",
                        "the stream is live",
                    )
                    .map_err(|e| protocol_reason(&e))?,
                _ => {}
            }
        }
        while let Some(bytes) = machine.poll_transmit() {
            self.actions.push_back(Action::Send(bytes));
        }
        Ok(())
    }
}

impl Peer for Viewer {
    fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), EndReason> {
        self.state.machine.handle_input(bytes, now).map_err(|e| protocol_reason(&e))?;
        self.work_off_events(now)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), EndReason> {
        if self.state.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.state.machine.handle_timeout(now).map_err(|e| protocol_reason(&e))?;
            self.work_off_events(now)?;
        }
        Ok(())
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn farewell(&mut self, reason: &EndReason) -> Bytes {
        let machine = &mut self.state.machine;
        let told = match reason {
            EndReason::StreamEnded | EndReason::Shutdown => machine.notify_unpublish(self.stream),
            other => {
                let text = other.to_string();
                machine.notify_status(self.stream, Level::Error, "NetStream.Play.Failed", &text)
            }
        };
        let mut words = BytesMut::new();
        // A machine that cannot say it has nobody to say it to.
        if told.is_ok() {
            while let Some(bytes) = machine.poll_transmit() {
                words.extend_from_slice(&bytes);
            }
        }
        words.freeze()
    }

    fn released(self: Box<Self>, mut conn: Conn, remains: Bytes, shard: &Rc<Shard>) {
        let shard = shard.clone();
        let state = self.state;
        if let Some(stream) = state.tenure.session().stream() {
            state.tenure.leave(&stream, &EndReason::PeerClosed);
        }
        shard.clone().spawn(async move {
            let sent = tokio::time::timeout(super::WRITE_TIMEOUT, conn.write_all(&remains)).await;
            let connection = Connection { shard, conn, state };
            match sent {
                Ok(Ok(())) => connection.run().await,
                Ok(Err(error)) => connection.finish(&error.into()).await,
                Err(_) => {
                    connection.finish(&EndReason::Timeout("the peer reads no answers")).await;
                }
            }
        });
    }

    fn ended(&mut self, reason: &EndReason) {
        self.state.tenure.end(reason);
    }
}
