//! Flushes with io_uring: one system call for many viewers.
//!
//! Viewers that are level share their slices; whoever the socket stops, and TLS, go the ordinary
//! way, which also registers for what happens next. What is sent is the same on both ways.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Instant;

use hub::{Cursor, EndReason};

use super::Engine;
use super::serve::TURN_BUDGET;
use crate::conn::Conn;
use crate::inbox::MirrorId;
use crate::shard::Shard;
use crate::uring::{BATCH, Message, Uring};

/// Below this many viewers the ordinary way costs less.
const WORTH_IT: usize = 4;

/// Lists that keep their capacity from flush to flush.
#[derive(Default)]
pub(super) struct Scratch {
    keys: Vec<usize>,
    sends: Vec<Send>,
    /// Packets that go out as datagrams: for whom, and the packet's number.
    datagrams: Vec<(usize, u64)>,
}

/// One viewer's part of a batch.
struct Send {
    key: usize,
    /// Where its slices are.
    slices: Range<usize>,
    /// How many bytes that is.
    wanted: usize,
    result: io::Result<usize>,
}

impl Engine {
    /// Sends a mirror's viewers what there is, if that can be done for many at once. Returns
    /// whether it was done.
    pub(super) fn flush_together(&mut self, id: MirrorId, now: Instant, shard: &Rc<Shard>) -> bool {
        let Some(mut uring) = self.uring.take() else { return false };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.keys.clear();
        scratch.keys.extend(self.mirror_mut(id).iter().flat_map(|mirror| &mirror.viewers));
        let worth_it = scratch.keys.len() >= WORTH_IT;
        if worth_it {
            for keys in scratch.keys.chunks(BATCH) {
                let datagrams = &mut scratch.datagrams;
                self.line_up(keys, &mut scratch.sends, datagrams, now, shard);
                self.send_lined_up(id, &mut scratch.sends, &mut uring);
                self.take_results(&mut scratch.sends, now, shard);
                self.send_datagrams_together(id, datagrams, &mut uring, now, shard);
            }
        }
        self.scratch = scratch;
        self.uring = Some(uring);
        worth_it
    }

    /// Chooses the viewers that can be served together, and serves the others at once.
    fn line_up(
        &mut self,
        keys: &[usize],
        sends: &mut Vec<Send>,
        datagrams: &mut Vec<(usize, u64)>,
        now: Instant,
        shard: &Rc<Shard>,
    ) {
        sends.clear();
        datagrams.clear();
        for &key in keys {
            let Some(viewer) = self.viewers.get_mut(key) else { continue };
            if viewer.blocked {
                continue;
            }
            let Some(mirror) = self.mirrors.get(viewer.mirror.key) else { continue };
            let by_connection = viewer.outlets.is_empty();
            if (by_connection && viewer.conn.is_tls())
                || (!by_connection && viewer.cursor.has_own())
            {
                self.send(key, now, shard);
            } else if !viewer.keeps_up(mirror, now) {
                self.end(key, &EndReason::TooSlow, shard);
            } else if !by_connection {
                let mut bytes = 0;
                while bytes < TURN_BUDGET
                    && let Some((number, packet)) = viewer.cursor.next_datagrams(&mirror.ring)
                {
                    bytes += packet.bytes.len();
                    datagrams.push((key, number));
                }
                if bytes >= TURN_BUDGET {
                    self.unfinished.push(key);
                }
            } else {
                sends.push(Send { key, slices: 0..0, wanted: 0, result: Ok(0) });
            }
        }
    }

    fn send_lined_up(&mut self, id: MirrorId, sends: &mut Vec<Send>, uring: &mut Uring) {
        let Some(mirror) = self.mirrors.get(id.key) else { return };
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        let mut before: Option<(&Cursor, Range<usize>, usize)> = None;
        for send in sends.iter_mut() {
            let Some(viewer) = self.viewers.get(send.key) else { continue };
            if let Some((cursor, range, wanted)) = &before
                && viewer.cursor.is_level_with(cursor)
            {
                (send.slices, send.wanted) = (Range::clone(range), *wanted);
            } else {
                let start = slices.len();
                send.wanted = viewer.cursor.line_up(&mirror.ring, TURN_BUDGET, &mut slices);
                send.slices = start..slices.len();
                before = Some((&viewer.cursor, send.slices.clone(), send.wanted));
            }
        }
        sends.retain(|send| send.wanted > 0);
        let mut messages = Vec::with_capacity(sends.len());
        for send in &*sends {
            if let Some(viewer) = self.viewers.get(send.key)
                && let Conn::Plain(socket) = &viewer.conn
                && let Some(slices) = slices.get(send.slices.clone())
            {
                messages.push(Message { socket: socket.as_fd(), slices });
            }
        }
        // Each of them has a socket, so that the indices are the same.
        uring.send(&messages, |index, result| {
            if let Some(send) = sends.get_mut(index) {
                send.result = result;
            }
        });
    }

    /// Sends what was lined up as datagrams. Whoever's socket is full goes the ordinary way.
    fn send_datagrams_together(
        &mut self,
        id: MirrorId,
        datagrams: &[(usize, u64)],
        uring: &mut Uring,
        now: Instant,
        shard: &Rc<Shard>,
    ) {
        // Viewers by the first of their packets that was not taken.
        let mut full: Vec<(usize, u64)> = Vec::new();
        for lot in datagrams.chunks(BATCH) {
            let Some(mirror) = self.mirrors.get(id.key) else { return };
            let mut slices = Vec::with_capacity(lot.len());
            let mut sockets = Vec::with_capacity(lot.len());
            let mut taken = Vec::with_capacity(lot.len());
            for (key, number) in lot {
                let Some(packet) = mirror.ring.get(*number) else { continue };
                let (Some(viewer), Some(datagrams)) = (self.viewers.get(*key), packet.datagrams)
                else {
                    continue;
                };
                let Some(outlet) = viewer.outlet(packet) else { continue };
                if full.iter().any(|(known, _)| known == key) {
                    continue;
                }
                if outlet.takes_whole(packet.bytes.len(), datagrams.size) {
                    slices.push(IoSlice::new(&packet.bytes));
                    sockets.push((*key, *number, outlet));
                } else {
                    // A kernel that cannot cut, or foreign packets: one by one.
                    match outlet.send(&packet.bytes, datagrams.size) {
                        Ok(bytes) => taken.push((*key, bytes)),
                        Err(error) => note_if_full(&mut full, *key, *number, &error),
                    }
                }
            }
            let messages: Vec<_> = sockets
                .iter()
                .zip(&slices)
                .map(|((.., outlet), slice)| Message {
                    socket: outlet.as_fd(),
                    slices: std::slice::from_ref(slice),
                })
                .collect();
            uring.send(&messages, |index, result| {
                let Some((key, number, _)) = sockets.get(index) else { return };
                match result {
                    Ok(bytes) => taken.push((*key, bytes)),
                    Err(error) => note_if_full(&mut full, *key, *number, &error),
                }
            });
            for (key, bytes) in taken {
                if let Some(viewer) = self.viewers.get_mut(key) {
                    viewer.written += bytes as u64;
                    viewer.progress = now;
                }
            }
        }
        for (key, number) in full {
            if let Some(viewer) = self.viewers.get_mut(key) {
                viewer.cursor.go_back(number);
                self.send(key, now, shard);
            }
        }
    }

    fn take_results(&mut self, sends: &mut Vec<Send>, now: Instant, shard: &Rc<Shard>) {
        for Send { key, wanted, result, .. } in sends.drain(..) {
            let Some(viewer) = self.viewers.get_mut(key) else { continue };
            let Some(mirror) = self.mirrors.get(viewer.mirror.key) else { continue };
            let taken = match result {
                Ok(taken) => taken,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
                Err(e) => {
                    self.end(key, &e.into(), shard);
                    continue;
                }
            };
            viewer.cursor.advance(&mirror.ring, taken);
            if taken > 0 {
                viewer.written += taken as u64;
                viewer.progress = now;
            }
            if taken < wanted {
                // The ordinary way finds the socket full, and waits for it.
                self.send(key, now, shard);
            } else if wanted >= TURN_BUDGET {
                self.unfinished.push(key);
            }
        }
    }
}

/// Remembers the first packet that a viewer's socket was too full for; others are lost.
fn note_if_full(full: &mut Vec<(usize, u64)>, key: usize, number: u64, error: &io::Error) {
    if error.kind() != io::ErrorKind::WouldBlock {
        return;
    }
    match full.iter_mut().find(|(known, _)| *known == key) {
        Some((_, first)) => *first = number.min(*first),
        None => full.push((key, number)),
    }
}
