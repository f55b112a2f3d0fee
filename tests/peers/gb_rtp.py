"""Sends frames of a program stream as RTP (RFC 3550) over UDP or TCP (RFC 4571), in real time.

Many senders share one `Source`, which prepares each frame's bytes once, and one `Pacer`, which is
the only timer. No RTCP is sent, as most cameras send none.
"""
import asyncio
import functools
import heapq
import itertools
import random
import socket
import struct

import gb_ps

BURST = 32  # packets that a sender sends at once
BURST_PAUSE = 0.002  # seconds until its next ones
PACER_SHARE = 0.02  # seconds that the pacer may keep the loop from SIP
BACKLOG_LIMIT = 4 << 20  # bytes that a TCP receiver may leave unread
LATE_LIMIT = 1.0  # seconds behind real time that are worth a report


class Source:
    """The frames of one media file, repeated for ever, as pieces of RTP payload."""

    def __init__(self, media, traits, start=gb_ps.CLOCK, payload_limit=1400, rtp_clock="pts"):
        self.frames = gb_ps.Writer(media, traits).frames()
        self.duration, self.start = media.duration, start
        self.payload_limit, self.rtp_clock = payload_limit, rtp_clock
        self.marker = traits.marker

    # Devices that were started at about the same time need the same frames.
    @functools.lru_cache(maxsize=1024)
    def frame(self, number):
        """Frame `number`, counted through the loops: (kind, seconds, RTP ticks, payloads)."""
        loop, index = divmod(number, len(self.frames))
        frame = self.frames[index]
        shift = loop * self.duration
        data = frame.at(self.start + shift)
        limit = self.payload_limit
        pieces = [data[at:at + limit] for at in range(0, len(data), limit)]
        ticks = (frame.pts if self.rtp_clock == "pts" else frame.dts) + shift
        return frame.kind, (frame.dts + shift) / gb_ps.CLOCK, ticks, pieces


class Pacer:
    """Calls each sender when its next packets are due, from a single timer."""

    def __init__(self):
        self.due, self.order, self.timer = [], itertools.count(), None

    def add(self, when, sender):
        heapq.heappush(self.due, (when, next(self.order), sender))
        self._arm()

    def _arm(self):
        if self.timer:
            self.timer.cancel()
        self.timer = None
        if self.due:
            self.timer = asyncio.get_running_loop().call_at(self.due[0][0], self._run)

    def _run(self):
        clock = asyncio.get_running_loop().time
        until = clock() + PACER_SHARE
        while self.due and self.due[0][0] <= (now := clock()) < until:
            sender = heapq.heappop(self.due)[2]
            when = sender.step(now)
            if when is not None:
                heapq.heappush(self.due, (when, next(self.order), sender))
        self._arm()


class Udp:
    """A UDP socket of its own, connected so that a closed port of the receiver is noticed."""
    kind = "udp"

    def __init__(self, local, remote, sock=None):
        self.sock = sock or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if sock is None:
            self.sock.bind(local)
        self.sock.setblocking(False)
        self.sock.connect(remote)
        self.refused = self.dropped = 0

    def send(self, packet):
        try:
            self.sock.send(packet)
        except BlockingIOError:
            self.dropped += 1
        except ConnectionRefusedError:
            self.refused += 1

    def close(self):
        self.sock.close()


class Tcp:
    """A TCP connection; each packet after its length (or the framing of RTSP, "dollar")."""
    kind = "tcp"

    def __init__(self, writer, framing="rfc4571"):
        self.writer = writer
        self.refused = self.dropped = 0
        self.lead = b"$\0" if framing == "dollar" else b""

    def send(self, packet):
        if self.writer.transport.get_write_buffer_size() > BACKLOG_LIMIT:
            self.dropped += 1
        else:
            self.writer.write(self.lead + len(packet).to_bytes(2, "big") + packet)

    def close(self):
        self.writer.close()


class Sender:
    """One RTP stream. `report(event, **facts)` is called for what should not be."""

    def __init__(self, pacer, source, outlet, *, ssrc, payload_type=96, marker=None, seed=0,
                 loss=0.0, reorder=0.0, loops=0, audio_after=0.0, finished=None, report=None):
        self.pacer, self.source, self.outlet = pacer, source, outlet
        self.ssrc, self.payload_type, self.marker = ssrc, payload_type, marker or source.marker
        self.random = random.Random(seed)
        self.loss, self.reorder = loss / 100, reorder / 100
        if outlet.kind == "tcp":
            self.loss = self.reorder = 0.0
        self.last_frame = loops * len(source.frames) if loops else None
        self.audio_after = audio_after
        self.finished, self.report = finished, report or (lambda *_, **__: None)
        self.sequence, self.first_time = self.random.getrandbits(16), self.random.getrandbits(32)
        self.number = self.piece = 0
        self.held = []  # packets that are overtaken: [how many more overtake, packet]
        self.origin, self.speed, self.paused, self.stopped = 0.0, 1.0, None, False
        self.packets = self.bytes = self.frames = self.lost = self.reordered = 0
        self.warned = set()

    def start(self):
        self.origin = asyncio.get_running_loop().time()
        self.pacer.add(self.origin, self)

    def stop(self):
        """Ends the stream; the facts about it."""
        if not self.stopped:
            self.stopped = True
            self.outlet.close()
        return {
            "packets": self.packets, "bytes": self.bytes, "frames": self.frames,
            "lost": self.lost, "reordered": self.reordered, "dropped": self.outlet.dropped,
        }

    def pause(self):
        self.paused = self.paused or asyncio.get_running_loop().time()

    def resume(self, speed=None):
        """Goes on after a pause, or with another speed, from where the stream is."""
        now = asyncio.get_running_loop().time()
        at = self.paused or now
        position = (at - self.origin) * self.speed
        was_paused, self.paused = self.paused is not None, None
        self.speed = speed or self.speed
        self.origin = now - position / self.speed
        if was_paused:
            self.pacer.add(now, self)

    def step(self, now):
        """Sends what is due; when to be called again, or None."""
        if self.stopped or self.paused is not None:
            return None
        sent = 0
        while True:
            if self.number == self.last_frame:
                self._flush()
                if self.finished:
                    self.finished()
                return None
            kind, at, ticks, pieces = self.source.frame(self.number)
            when = self.origin + at / self.speed
            if when > now:
                return when
            if now - when > LATE_LIMIT:
                self._warn("late", f"media is {now - when:.1f} s late: the machine is overloaded")
            if kind == "audio" and at < self.audio_after:
                self.number += 1
                continue
            while self.piece < len(pieces):
                if sent == BURST:
                    return now + BURST_PAUSE
                self._packet(ticks, pieces[self.piece], self.piece, len(pieces))
                self.piece += 1
                sent += 1
            self.number, self.piece, self.frames = self.number + 1, 0, self.frames + 1

    def _packet(self, ticks, payload, piece, pieces):
        marked = {"right": piece == pieces - 1, "absent": False, "wrong": piece == 0}[self.marker]
        packet = struct.pack(
            ">BBHII", 0x80, marked << 7 | self.payload_type, self.sequence,
            self.first_time + ticks & 0xFFFFFFFF, self.ssrc,
        ) + payload
        self.sequence = self.sequence + 1 & 0xFFFF
        if self.loss and self.random.random() < self.loss:
            self.lost += 1
            return
        if self.reorder and self.random.random() < self.reorder:
            self.reordered += 1
            self.held.append([self.random.randint(1, 4), packet])
            return
        self._send(packet)
        if self.held:
            for one in self.held:
                one[0] -= 1
            for one in [one for one in self.held if one[0] <= 0]:
                self._send(one[1])
            self.held = [one for one in self.held if one[0] > 0]

    def _flush(self):
        for _, packet in self.held:
            self._send(packet)
        self.held = []

    def _send(self, packet):
        self.outlet.send(packet)
        self.packets += 1
        self.bytes += len(packet)
        if self.outlet.refused:
            self._warn("media_refused", "the platform's media port is closed")
        if self.outlet.dropped:
            self._warn("media_dropped", "the platform (or the machine) takes media too slowly")

    def _warn(self, event, text):
        if event not in self.warned:
            self.warned.add(event)
            self.report(event, text=text)
