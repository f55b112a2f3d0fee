"""MPEG program streams (ISO/IEC 13818-1, 2.5) as GB/T 28181 devices write them.

Reads elementary streams (H.264 and H.265 Annex B, AAC in ADTS, G.711) or a program stream, and
writes a program stream with the habits ("traits") of a kind of device. Times are 90 kHz ticks.

    gb_ps.py write --video a.h264 --fps 25 --audio a.aac --trait hik OUT.ps
    gb_ps.py demux IN.ps --video OUT.h264 --audio OUT.aac
    gb_ps.py times IN.mp4 > times.json      (needs ffprobe; for pictures that are shown reordered)
"""
import argparse
import bisect
import dataclasses
import functools
import heapq
import json
import pathlib
import re
import statistics
import subprocess
import sys

CLOCK = 90_000
TIME_SPAN = 1 << 33
STREAM_TYPES = {"h264": 0x1B, "h265": 0x24, "aac": 0x0F, "alaw": 0x90, "ulaw": 0x91}
VIDEO_CODECS = ("h264", "h265")
VIDEO_ID, AUDIO_ID, PRIVATE_ID = 0xE0, 0xC0, 0xBD
PACK, SYSTEM, MAP, END = 0xBA, 0xBB, 0xBC, 0xB9
G711_PIECE = 320  # bytes: 40 ms, as most cameras send
ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000,
              7350)


# Elementary streams

@dataclasses.dataclass(frozen=True)
class Unit:
    """An access unit: a picture with its parameter sets, or a piece of sound."""
    kind: str  # "video" or "audio"
    data: bytes
    pts: int
    dts: int
    key: bool = False


@dataclasses.dataclass(frozen=True)
class Media:
    """Units in order of decoding, starting at time 0; `duration` later it may start again."""
    video: str | None
    audio: str | None
    units: list[Unit]
    duration: int

    def elementary(self, kind):
        return b"".join(unit.data for unit in self.units if unit.kind == kind)


def nal_units(data):
    """Where NAL units are in Annex B data: (first byte of the start code, first byte after it)."""
    found = []
    for match in re.finditer(b"\0\0\1", data):
        start = match.start()
        if start and data[start - 1] == 0:  # the zero_byte belongs to the start code
            start -= 1
        found.append((start, match.end()))
    return found


def nal_type(codec, data, at):
    return data[at] & 0x1F if codec == "h264" else data[at] >> 1 & 0x3F


def is_picture(codec, kind):
    return 1 <= kind <= 5 if codec == "h264" else kind <= 31


def is_key(codec, kind):
    return kind == 5 if codec == "h264" else 16 <= kind <= 21


def is_parameter_set(codec, kind):
    return kind in ((7, 8) if codec == "h264" else (32, 33, 34))


def _opens_unit(codec, kind):
    """Whether a NAL unit that is no slice starts an access unit when it follows a slice."""
    if codec == "h264":  # 7.4.1.2.3
        return kind in (6, 7, 8, 9) or 14 <= kind <= 18
    return kind in (32, 33, 34, 35, 39) or 41 <= kind <= 44 or 48 <= kind <= 55  # 7.4.2.4.4


def _exp_golomb(data, bit):
    zeros = 0
    while not data[bit >> 3] >> (7 - (bit & 7)) & 1:
        zeros, bit = zeros + 1, bit + 1
    value = 0
    for _ in range(zeros + 1):
        value, bit = value << 1 | data[bit >> 3] >> (7 - (bit & 7)) & 1, bit + 1
    return value - 1, bit


def _is_reordered(codec, kind, data, at):
    """Whether a slice shows that pictures are shown in another order than sent (B pictures)."""
    if codec == "h265":  # leading pictures, and pictures that nothing refers to
        return kind in (0, 6, 7, 8, 9)
    _, bit = _exp_golomb(data, (at + 1) * 8)
    slice_type, _ = _exp_golomb(data, bit)
    return slice_type % 5 == 1


def split_pictures(codec, data):
    """Access units of Annex B data: (first byte, is key picture), and whether B pictures occur."""
    pictures, has_slice, key, reordered, begin = [], False, False, False, None
    for start, at in nal_units(data):
        kind = nal_type(codec, data, at)
        if is_picture(codec, kind):
            first = data[at + (1 if codec == "h264" else 2)] & 0x80  # slice 0 of the picture
            opens = has_slice and first
        else:
            first, opens = 0, has_slice and _opens_unit(codec, kind)
        if opens:
            pictures.append((begin, key))
            begin, has_slice, key = None, False, False
        begin = start if begin is None else begin
        if is_picture(codec, kind):
            has_slice, key = True, key or is_key(codec, kind)
            reordered = reordered or _is_reordered(codec, kind, data, at)
    if has_slice:
        pictures.append((begin, key))
    if not pictures:
        raise ValueError("no picture in the video")
    return pictures, reordered


def split_adts(data):
    """AAC frames of ADTS data: (first byte, ticks that it lasts)."""
    frames, at = [], 0
    while at < len(data):
        if len(data) < at + 7 or data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:
            raise ValueError(f"no ADTS header at byte {at}")
        rate = ADTS_RATES[data[at + 2] >> 2 & 0xF]
        frames.append((at, 1024 * CLOCK / rate))
        at += (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return frames


def _pieces(data, starts):
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)])]


def read_video(path, fps=25.0, times=None):
    """Pictures of a file NAME.h264 or NAME.h265; `times`: [pts, dts] in ms of each picture."""
    codec = {"264": "h264", "265": "h265", "hevc": "h265"}.get(_ending(path), _ending(path))
    if codec not in VIDEO_CODECS:
        raise ValueError(f"{path}: a video file is named .h264 or .h265")
    data = pathlib.Path(path).read_bytes()
    pictures, reordered = split_pictures(codec, data)
    if times is None:
        if reordered:
            raise ValueError(f"{path} has B pictures: give their times (--times)")
        interval = CLOCK / fps
        times = [(round(n * interval),) * 2 for n in range(len(pictures))]
    else:
        if len(times) != len(pictures):
            raise ValueError(f"{len(times)} times for {len(pictures)} pictures")
        times = [(round(pts * CLOCK / 1000), round(dts * CLOCK / 1000)) for pts, dts in times]
    pieces = _pieces(data, [start for start, _ in pictures])
    return codec, [
        Unit("video", piece, pts, dts, key)
        for piece, (pts, dts), (_, key) in zip(pieces, times, pictures)
    ]


def read_audio(path):
    """Sound of a file NAME.aac, NAME.alaw or NAME.ulaw (G.711 with 8000 samples/s)."""
    codec = {"al": "alaw", "ul": "ulaw", "mulaw": "ulaw"}.get(_ending(path), _ending(path))
    data = pathlib.Path(path).read_bytes()
    if codec == "aac":
        frames = split_adts(data)
    elif codec in ("alaw", "ulaw"):
        frames = [(at, G711_PIECE * CLOCK / 8000) for at in range(0, len(data), G711_PIECE)]
    else:
        raise ValueError(f"{path}: a sound file is named .aac, .alaw or .ulaw")
    units, time = [], 0.0
    for piece, (_, lasts) in zip(_pieces(data, [start for start, _ in frames]), frames):
        units.append(Unit("audio", piece, round(time), round(time)))
        time += lasts
    return codec, units


def _ending(path):
    return str(path).rsplit(".", 1)[-1].lower()


def join(video, audio):
    """Media of `read_video`'s and `read_audio`'s answers (either may be None)."""
    video_codec, pictures = video or (None, [])
    audio_codec, sounds = audio or (None, [])
    units = _in_order(pictures, sounds)
    if not units:
        raise ValueError("neither video nor audio")
    origin = min(unit.dts for unit in units)
    units = [
        dataclasses.replace(unit, pts=unit.pts - origin, dts=unit.dts - origin) for unit in units
    ]
    ends = []
    for kind in ("video", "audio"):
        of_kind = [unit.dts for unit in units if unit.kind == kind]
        if of_kind:
            steps = max(len(of_kind) - 1, 1)
            ends.append(of_kind[-1] + max(round((of_kind[-1] - of_kind[0]) / steps), 1))
    return Media(video_codec, audio_codec, units, max(ends))


def _in_order(pictures, sounds):
    for units in (pictures, sounds):
        if any(one.dts >= other.dts for one, other in zip(units, units[1:])):
            raise ValueError("the times of decoding do not rise")
    return list(heapq.merge(pictures, sounds, key=lambda unit: unit.dts))


def group_audio(media, count):
    """`count` AAC frames (or G.711 pieces) in one PES packet: quirk of some cameras."""
    pictures, sounds = (
        [unit for unit in media.units if unit.kind == kind] for kind in ("video", "audio"))
    groups = [sounds[at:at + count] for at in range(0, len(sounds), count)]
    sounds = [
        dataclasses.replace(group[0], data=b"".join(unit.data for unit in group))
        for group in groups
    ]
    return dataclasses.replace(media, units=_in_order(pictures, sounds))


def repeat_parameter_sets(media):
    """Parameter sets before every picture, as if each were a key picture."""
    sets, units = b"", []
    for unit in media.units:
        if unit.kind == "video":
            own = b"".join(
                nal for nal, kind in _nals(media.video, unit.data)
                if is_parameter_set(media.video, kind)
            )
            sets = own or sets
            if not own:
                unit = dataclasses.replace(unit, data=sets + unit.data)
        units.append(unit)
    return dataclasses.replace(media, units=units)


def _nals(codec, data):
    found = nal_units(data)
    pieces = _pieces(data, [start for start, _ in found])
    return [(piece, nal_type(codec, data, at)) for piece, (_, at) in zip(pieces, found)]


# Reading a program stream

@dataclasses.dataclass(frozen=True)
class Pes:
    stream_id: int
    pts: int | None
    dts: int | None
    data: bytes


def _read_time(data, at):
    return ((data[at] >> 1 & 7) << 30 | data[at + 1] << 22 | data[at + 2] >> 1 << 15
            | data[at + 3] << 7 | data[at + 4] >> 1)


def demux(data):
    """The stream types of the map by stream id, and the PES packets. Strict: else ValueError."""
    types, packets, at = {}, [], 0
    while at < len(data):
        if data[at:at + 3] != b"\0\0\1" or len(data) < at + 4:
            raise ValueError(f"no start code at byte {at}: {data[at:at + 8].hex(' ')}")
        code = data[at + 3]
        if code == END:
            at += 4
            continue
        if code == PACK:
            if len(data) < at + 14 or data[at + 4] & 0xC0 != 0x40:
                raise ValueError(f"bad pack header at byte {at}")
            at += 14 + (data[at + 13] & 7)
            continue
        length = int.from_bytes(data[at + 4:at + 6], "big")
        begin, end = at + 6, at + 6 + length
        if length == 0 and 0xE0 <= code <= 0xEF:
            match = re.compile(b"\0\0\1[\xb9-\xef]").search(data, begin)
            end = match.start() if match else len(data)
        if end > len(data):
            raise ValueError(f"packet {code:#x} at byte {at} goes past the end")
        if code == MAP:
            _read_map(data[begin:end], types)
        elif code == PRIVATE_ID or 0xC0 <= code <= 0xEF:
            packets.append(_read_pes(code, data[begin:end], at))
        elif code < SYSTEM:
            raise ValueError(f"start code {code:#x} at byte {at} is no packet")
        at = end
    return types, packets


def _read_map(body, types):
    if crc32(b"\0\0\1\xbc" + len(body).to_bytes(2, "big") + body):
        raise ValueError("wrong CRC in the program stream map")
    at = 4 + int.from_bytes(body[2:4], "big")
    end = at + 2 + int.from_bytes(body[at:at + 2], "big")
    at += 2
    while at + 4 <= end:
        types[body[at + 1]] = body[at]
        at += 4 + int.from_bytes(body[at + 2:at + 4], "big")


def _read_pes(stream_id, body, where):
    if len(body) < 3 or body[0] & 0xC0 != 0x80 or len(body) < 3 + body[2]:
        raise ValueError(f"bad PES header at byte {where}")
    pts = _read_time(body, 3) if body[1] & 0x80 else None
    dts = _read_time(body, 8) if body[1] & 0xC0 == 0xC0 else pts
    return Pes(stream_id, pts, dts, body[3 + body[2]:])


def read_ps(path):
    """Media of a program stream with a map; each track is the first of its kind."""
    types, packets = demux(pathlib.Path(path).read_bytes())
    codecs = {number: name for name, number in STREAM_TYPES.items()}
    tracks = {}
    for kind, lowest, highest in (("video", 0xE0, 0xEF), ("audio", 0xC0, 0xDF)):
        for stream_id in sorted(types):
            codec = codecs.get(types[stream_id])
            own = [one for one in packets if one.stream_id == stream_id]
            if lowest <= stream_id <= highest and codec and own and kind not in tracks:
                tracks[kind] = codec, _timed(kind, codec, own)
    return join(tracks.get("video"), tracks.get("audio"))


def _timed(kind, codec, packets):
    """Access units of PES packets; a unit without times of its own follows the one before."""
    data = b"".join(one.data for one in packets)
    offsets, offset = [], 0
    for one in packets:
        offsets.append(offset)
        offset += len(one.data)
    step = None
    if codec in VIDEO_CODECS:
        starts, reordered = split_pictures(codec, data)
    elif codec == "aac":
        starts, reordered = split_adts(data), False
        step = starts[0][1]
    else:
        starts, reordered = [(offset, None) for offset in offsets], False
    units, last, origin, used = [], None, None, set()
    for piece, (start, mark) in zip(_pieces(data, [start for start, _ in starts]), starts):
        index = bisect.bisect_right(offsets, start) - 1
        packet = packets[index]
        if packet.pts is not None and index not in used:  # the first unit that starts in it
            used.add(index)
            origin = packet.dts if origin is None else origin
            dts = (packet.dts - origin + TIME_SPAN // 2) % TIME_SPAN - TIME_SPAN // 2
            pts = dts + (packet.pts - packet.dts) % TIME_SPAN
            if last is not None and step is None and dts > last:
                step = dts - last
        elif reordered or last is None or step is None:
            raise ValueError(f"a {kind} unit at byte {start} of the track has no time")
        else:
            dts = pts = last + step
        last = dts
        units.append(Unit(kind, piece, round(pts) + origin, round(dts) + origin,
                          bool(mark) if kind == "video" else False))
    # Muxers leave out a DTS that would be negative, so that the first ones come out too late.
    rises = [other.dts - one.dts for one, other in zip(units, units[1:]) if other.dts > one.dts]
    for at in range(len(units) - 2, -1, -1):
        if units[at].dts >= units[at + 1].dts:
            dts = units[at + 1].dts - round(statistics.median(rises))
            units[at] = dataclasses.replace(units[at], dts=dts)
    return units


# Writing a program stream

@dataclasses.dataclass(frozen=True)
class Traits:
    """Habits of a kind of device."""
    stuffing: bytes = b""  # at the end of the pack header
    pes_limit: int = 0xFFFF  # largest PES_packet_length
    unbounded: bool = False  # video PES with PES_packet_length 0
    nal_per_pes: bool = False
    pes_padding: int = 0  # stuffing bytes in the PES header
    private: bool = False  # private data after a key frame's sound
    descriptors: bool = False  # private descriptors 0x40-0x43 in the map
    bare_audio: bool = False  # sound without a pack header
    map: str = "key"  # map and system header: at "every" picture, "key", "first", "never"
    dts: bool = True  # DTS where it differs from PTS
    marker: str = "right"  # RTP marker: "right", "absent", "wrong" (on the first of a frame)
    audio_type: int | None = None  # stream type that the map declares for the sound


TRAITS = {
    "plain": Traits(),
    "hik": Traits(
        stuffing=b"\xff\xff\x80\x80\x80\x81", pes_limit=0xFFC6, nal_per_pes=True, pes_padding=5,
        private=True, descriptors=True, bare_audio=True,
    ),
    "dahua": Traits(stuffing=b"\xff" * 6, marker="absent"),
    "zero": Traits(unbounded=True),
}


@dataclasses.dataclass(frozen=True)
class Frame:
    """What a device sends with one RTP time: a picture's pack, or a piece of sound.

    `fields`: where times stand in `data`: (offset, lead bits of PTS or DTS, 0 for SCR, ticks).
    """
    kind: str
    data: bytes
    pts: int
    dts: int
    key: bool
    fields: list[tuple[int, int, int]]

    def at(self, shift):
        """The bytes with all times moved on by `shift` ticks."""
        data = bytearray(self.data)
        for offset, lead, ticks in self.fields:
            field = _scr(ticks + shift) if lead == 0 else _time(lead, ticks + shift)
            data[offset:offset + len(field)] = field
        return bytes(data)


def _time(lead, ticks):
    ticks %= TIME_SPAN
    return bytes((
        lead << 4 | (ticks >> 30 & 7) << 1 | 1, ticks >> 22 & 0xFF, (ticks >> 15 & 0x7F) << 1 | 1,
        ticks >> 7 & 0xFF, (ticks & 0x7F) << 1 | 1,
    ))


def _scr(ticks):
    ticks %= TIME_SPAN
    word = 1 << 46 | (ticks >> 30 & 7) << 43 | 1 << 42 | (ticks >> 15 & 0x7FFF) << 27 | 1 << 26
    return (word | (ticks & 0x7FFF) << 11 | 1 << 10 | 1).to_bytes(6, "big")


@functools.cache
def _crc_table():
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def crc32(data):
    value, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        value = value << 8 & 0xFFFFFFFF ^ table[value >> 24 ^ byte]
    return value


class Writer:
    """Writes media as frames of a program stream."""

    def __init__(self, media, traits):
        self.media, self.traits = media, traits
        self.system, self.map = self._system_header(), self._map()

    def frames(self):
        frames, mapped, private_due = [], False, False
        has_audio = self.media.audio is not None
        for unit in self.media.units:
            out, fields = bytearray(), []
            if unit.kind == "video" or not self.traits.bare_audio:
                self._pack_header(out, fields, unit.dts)
            wants_map = {
                "every": unit.kind == "video", "key": unit.key or self.media.video is None,
                "first": not mapped and (unit.key or self.media.video is None), "never": False,
            }[self.traits.map]
            if wants_map:
                mapped = True
                out += self.system + self.map
            if unit.kind == "video":
                self._picture(out, fields, unit)
                private_due = private_due or unit.key
            else:
                self._pes(out, fields, AUDIO_ID, unit.data, unit)
            if self.traits.private and private_due and (unit.kind == "audio" or not has_audio):
                self._pes(out, fields, PRIVATE_ID, b"\x7f" + bytes(range(64, 160)), None)
                private_due = False
            frames.append(Frame(unit.kind, bytes(out), unit.pts, unit.dts, unit.key, fields))
        return frames

    def _picture(self, out, fields, unit):
        pieces = [unit.data]
        if self.traits.nal_per_pes:
            pieces = [nal for nal, _ in _nals(self.media.video, unit.data)]
        timed = unit
        for piece in pieces:
            self._pes(out, fields, VIDEO_ID, piece, timed)
            timed = None

    def _pes(self, out, fields, stream_id, data, timed):
        """One PES packet or as many as the limit asks for; only the first carries times."""
        video = stream_id == VIDEO_ID
        at = 0
        while at < len(data):
            flags, times = 0, b""
            if timed is not None:
                where = len(out) + 9
                with_dts = self.traits.dts and timed.dts != timed.pts
                flags = 0xC0 if with_dts else 0x80
                fields.append((where, 3 if with_dts else 2, timed.pts))
                times = _time(3 if with_dts else 2, timed.pts)
                if with_dts:
                    fields.append((where + 5, 1, timed.dts))
                    times += _time(1, timed.dts)
            padding = b"\xff" * self.traits.pes_padding
            header = bytes((0x84 if timed else 0x80, flags, len(times) + len(padding)))
            header += times + padding
            unbounded = video and self.traits.unbounded
            room = len(data) if unbounded else self.traits.pes_limit - len(header)
            piece = data[at:at + room]
            length = 0 if unbounded else len(header) + len(piece)
            out += b"\0\0\1" + bytes((stream_id,)) + length.to_bytes(2, "big") + header + piece
            at += len(piece)
            timed = None

    def _pack_header(self, out, fields, ticks):
        fields.append((len(out) + 4, 0, ticks))
        rate = 6106 << 2 | 3  # in units of 50 bytes/s, and marker bits
        stuffing = self.traits.stuffing
        out += b"\0\0\1\xba" + _scr(ticks) + rate.to_bytes(3, "big")
        out += bytes((0xF8 | len(stuffing),)) + stuffing

    def _system_header(self):
        body = (1 << 23 | 6106 << 1 | 1).to_bytes(3, "big")  # rate bound with marker bits
        body += bytes((1 << 2, 0xE1, 0xFF))  # one audio and one video stream
        if self.media.video:
            body += bytes((VIDEO_ID, 0xE0, 0x80))
        if self.media.audio:
            body += bytes((AUDIO_ID, 0xC0, 0x20))
        return b"\0\0\1\xbb" + len(body).to_bytes(2, "big") + body

    def _map(self):
        private = self.traits.descriptors
        general = b"\x40\x0eHK" + bytes(12) + b"\x41\x12HK" + bytes(16) if private else b""
        tracks = b""
        if self.media.video:
            own = b"\x42\x0e\x07\x10" + bytes(12) if private else b""
            kind = STREAM_TYPES[self.media.video]
            tracks += bytes((kind, VIDEO_ID)) + len(own).to_bytes(2, "big") + own
        if self.media.audio:
            own = b"\x43\x0a\x00\x01" + bytes(8) if private else b""
            kind = self.traits.audio_type
            kind = STREAM_TYPES[self.media.audio] if kind is None else kind
            tracks += bytes((kind, AUDIO_ID)) + len(own).to_bytes(2, "big") + own
        body = b"\xe1\xff" + len(general).to_bytes(2, "big") + general
        body += len(tracks).to_bytes(2, "big") + tracks
        section = b"\0\0\1\xbc" + (len(body) + 4).to_bytes(2, "big") + body
        return section + crc32(section).to_bytes(4, "big")


# Command line

def add_media_options(parser):
    """Options that say what a device sends; for `media_of` and `traits_of`."""
    group = parser.add_argument_group("media")
    group.add_argument("--media", metavar="FILE.ps", help="program stream (with a map) to re-write")
    group.add_argument("--video", metavar="FILE", help="pictures: .h264 or .h265 (Annex B)")
    group.add_argument("--fps", type=float, default=25, help="pictures a second (25)")
    group.add_argument("--times", metavar="FILE.json",
                       help="list of [pts, dts] in ms of each picture (needed with B pictures)")
    group.add_argument("--audio", metavar="FILE", help="sound: .aac (ADTS), .alaw or .ulaw")
    group.add_argument("--trait", choices=TRAITS, default="plain",
                       help="habits of: hik (private data and descriptors, a PES for each NAL "
                       "unit, split at 0xFFC6), dahua (stuffing, no marker), plain, "
                       "zero (plain, PES length 0)")
    group.add_argument("--map", choices=("every", "key", "first", "never"),
                       help="when system header and program stream map are sent (key)")
    group.add_argument("--no-dts", action="store_true", help="never write DTS")
    group.add_argument("--marker", choices=("right", "absent", "wrong"),
                       help="RTP marker, when not as the trait has it")
    group.add_argument("--audio-type", type=lambda text: int(text, 0), metavar="N",
                       help="stream type declared for the sound, e.g. 0x90 with AAC inside")
    group.add_argument("--aac-per-pes", type=int, default=1, metavar="N",
                       help="sound units in one PES packet (1)")
    group.add_argument("--repeat-parameter-sets", action="store_true",
                       help="parameter sets before every picture")


def traits_of(options):
    chosen = {"map": options.map, "marker": options.marker, "audio_type": options.audio_type}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if options.no_dts:
        chosen["dts"] = False
    return dataclasses.replace(TRAITS[options.trait], **chosen)


def media_of(options):
    if options.media:
        media = read_ps(options.media)
    else:
        times = json.loads(pathlib.Path(options.times).read_text()) if options.times else None
        video = read_video(options.video, options.fps, times) if options.video else None
        media = join(video, read_audio(options.audio) if options.audio else None)
    if options.aac_per_pes > 1:
        media = group_audio(media, options.aac_per_pes)
    return repeat_parameter_sets(media) if options.repeat_parameter_sets else media


def times_of(path):
    """[pts, dts] in ms of each picture of a file, by ffprobe."""
    found = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries",
         "packet=pts_time,dts_time", "-of", "json", path],
        check=True, stdout=subprocess.PIPE).stdout
    return [[round(float(packet[name]) * 1000, 3) for name in ("pts_time", "dts_time")]
            for packet in json.loads(found)["packets"]]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write a program stream")
    add_media_options(write)
    write.add_argument("--loops", type=int, default=1, help="how often, times going on (1)")
    write.add_argument("--start", type=int, default=CLOCK, help="first time in ticks (90000)")
    write.add_argument("out")
    split = commands.add_parser("demux", help="elementary streams of a program stream")
    split.add_argument("input")
    split.add_argument("--video", help="file for the pictures")
    split.add_argument("--audio", help="file for the sound")
    probe = commands.add_parser("times", help="times of pictures for --times, on stdout")
    probe.add_argument("input")
    options = parser.parse_args()
    if options.command == "times":
        json.dump(times_of(options.input), sys.stdout)
    elif options.command == "demux":
        media = read_ps(options.input)
        for kind, path in (("video", options.video), ("audio", options.audio)):
            if path:
                pathlib.Path(path).write_bytes(media.elementary(kind))
        print(media.video, media.audio, len(media.units), "units", media.duration, "ticks")
    else:
        media = media_of(options)
        frames = Writer(media, traits_of(options)).frames()
        with open(options.out, "wb") as file:
            for loop in range(options.loops):
                for frame in frames:
                    file.write(frame.at(options.start + loop * media.duration))


if __name__ == "__main__":
    main()
