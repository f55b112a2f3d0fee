//! One viewer by itself: what it is sent, and what it says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use hub::{Drained, EndReason, Lag, Ring};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::mirror::Mirror;
use crate::viewer::{Action, Viewer};

/// Bytes that one viewer may get in one turn, so that a burst at join delays nobody: about 10 ms
/// of a core's sending.
pub(super) const TURN_BUDGET: usize = 256 << 10;

/// Reads from one viewer in one turn; a flood waits for the next.
const READS_PER_TURN: usize = 8;

impl Viewer {
    /// Sends what there is, within the budget of a turn.
    pub(super) fn write(&mut self, mirror: &Mirror, now: Instant) -> Result<Drained, EndReason> {
        if !self.keeps_up(mirror, now) {
            return Err(EndReason::TooSlow);
        }
        match self.write_to_connection(mirror, now)? {
            Drained::All if !self.outlets.is_empty() => Ok(self.send_datagrams(mirror, now)),
            other => Ok(other),
        }
    }

    /// Skips what it was too slow for. `false` if that happens too often.
    pub(super) fn keeps_up(&mut self, mirror: &Mirror, now: Instant) -> bool {
        match self.cursor.catch_up(&mirror.ring, &mirror.settings, now) {
            Lag::TooManySkips => return false,
            Lag::Skipped => self.session.count_skip(),
            _ => {}
        }
        true
    }

    /// One vectored write, or a few.
    fn write_to_connection(&mut self, mirror: &Mirror, now: Instant) -> Result<Drained, EndReason> {
        let mut cx = Context::from_waker(&self.write_waker);
        let conn = &mut self.conn;
        let progress = self
            .cursor
            .drain(&mirror.ring, TURN_BUDGET, |slices| {
                match Pin::new(&mut *conn).poll_write_vectored(&mut cx, slices) {
                    Poll::Ready(result) => result,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            })
            .map_err(EndReason::from)?;
        if progress.written > 0 {
            self.written += progress.written as u64;
            self.progress = now;
        }
        let must_wait = progress.drained == Drained::Blocked || conn.is_tls();
        if must_wait {
            // Registers the waker after a short write, and moves what TLS holds.
            match conn.poll_writable(&mut cx) {
                Poll::Ready(Ok(())) if progress.drained == Drained::Blocked => {
                    return Ok(Drained::Budget);
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => return Err(e.into()),
                Poll::Pending => self.blocked = true,
            }
        }
        Ok(progress.drained)
    }

    /// Sends packets as datagrams, within the budget of a turn. What the system refuses is lost, as
    /// it may be on the way; a socket that is full is waited for.
    fn send_datagrams(&mut self, mirror: &Mirror, now: Instant) -> Drained {
        let mut sent = 0;
        while let Some((number, packet)) = self.cursor.next_datagrams(&mirror.ring) {
            if let (Some(outlet), Some(datagrams)) = (self.outlet(packet), packet.datagrams) {
                match outlet.send(&packet.bytes, datagrams.size) {
                    Ok(taken) => {
                        self.written += taken as u64;
                        self.progress = now;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let mut cx = Context::from_waker(&self.write_waker);
                        let is_full = outlet.poll_writable(&mut cx).is_pending();
                        self.cursor.go_back(number);
                        self.blocked = is_full;
                        return if is_full { Drained::Blocked } else { Drained::Budget };
                    }
                    Err(_) => {}
                }
            }
            sent += packet.bytes.len();
            if sent >= TURN_BUDGET {
                return Drained::Budget;
            }
        }
        Drained::All
    }

    /// Hands the protocol what the viewer says, until there is no more.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) -> Result<(), EndReason> {
        let waker = self.read_waker.clone();
        let mut cx = Context::from_waker(&waker);
        if let Poll::Ready(reason) = self.session.poll_disposed(&mut cx) {
            return Err(reason);
        }
        for _ in 0..READS_PER_TURN {
            let mut buf = ReadBuf::new(buffer);
            match Pin::new(&mut self.conn).poll_read(&mut cx, &mut buf) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(e)) => return Err(e.into()),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                    return Err(EndReason::PeerClosed);
                }
                Poll::Ready(Ok(())) => {
                    self.read += buf.filled().len() as u64;
                    self.ask(|peer| peer.handle_input(buf.filled(), now))?;
                }
            }
        }
        self.read_waker.wake_by_ref();
        Ok(())
    }

    /// Does what the protocol wants. `Ok(true)`: the viewer leaves.
    pub(super) fn act(&mut self, ring: &Ring, now: Instant) -> Result<bool, EndReason> {
        while let Some(action) = self.ask(|peer| Ok(peer.poll_action()))? {
            match action {
                Action::Send(bytes) => {
                    if !self.cursor.queue(bytes) {
                        return Err(EndReason::Protocol("replies are not read".into()));
                    }
                }
                Action::Pause => self.cursor.pause(),
                Action::Resume => self.cursor.resume(ring, now),
                Action::Audio(on) => self.cursor.set_audio(on),
                Action::Video(on) => self.cursor.set_video(on, ring, now),
                Action::Leave => return Ok(true),
            }
        }
        Ok(false)
    }
}
