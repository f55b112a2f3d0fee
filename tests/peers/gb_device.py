#!/usr/bin/env python3
"""Simulates GB/T 28181 devices, to test a platform (media server) from end to end.

gb_device.py [devices] OPTIONS   devices that register by SIP and send what they are asked for
gb_device.py send OPTIONS        sends PS over RTP to a port, without SIP
gb_device.py listen OPTIONS      the same to whoever connects (TCP)

Each event is a line of JSON on stdout, with "event", "time" (seconds since the start) and mostly
"device" and "channel". What the platform does wrong is an event "error" with a "text". Events:
started, challenged, registered, register_refused, register_timeout, unregistered, keepalive,
keepalive_refused, catalog_query, device_info_query, device_status_query, query, catalog_sent,
record_query, subscribe, invite, invite_retransmitted, cancel, ack, bye, hung_up, ptz, iframe, teleboot, control,
playback_control, listening, media_started, media_refused, media_dropped, late, media_finished,
media_stopped, disconnected, error, finished.
"""
import argparse
import asyncio
import datetime
import functools
import math
import random
import re
import resource
import signal
import socket
import sys

import gb_manscdp
import gb_ps
import gb_rtp
import gb_sip
from gb_endpoint import T1, T2, T_LIMIT, Endpoint, Log, TcpLink, UdpLink, within

MEDIA_CONNECT_LIMIT = 10.0
GOODBYE_LIMIT = 5.0
BYE_GRACE = 2.0  # seconds between the end of a media connection and the BYE due from the platform
MANSCDP, MANSRTSP = "Application/MANSCDP+xml", "Application/MANSRTSP"


class Call:
    """What an INVITE began."""

    def __init__(self, request, channel, tag):
        self.invite, self.channel, self.tag = request, channel, tag
        self.offer = self.status = self.sender = self.task = None
        self.acked, self.cancelled = asyncio.Event(), asyncio.Event()
        self.ended = False
        self.sequence = 0
        self.remote_tag = gb_sip.parameter(request.get("From"), "tag")


class Device(Endpoint):
    """One device with its channels."""

    def __init__(self, options, index, log, pacer, source):
        super().__init__(options, f"{int(options.device_id) + index:020d}", log)
        self.pacer, self.source = pacer, source
        first = int(options.channel_id) + index * options.channels
        self.channels = [f"{first + number:020d}" for number in range(options.channels)]
        self.random = random.Random(options.seed + index)
        self.server_uri = f"sip:{options.platform_id}@{options.domain}"
        self.own_uri = f"sip:{self.id}@{options.domain}"
        self.calls = {}
        self.register_call, self.register_tag = self.token(), self.token()
        self.register_sequence = self.serial = 0
        self.challenge, self.challenge_uses = None, 0
        self.again = asyncio.Event()
        self.is_registered = False

    # Life

    async def run(self):
        """Registers and stays registered, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if self.options.transport == "udp":
                _, self.link = await loop.create_datagram_endpoint(
                    lambda: UdpLink(self, self.options.server), local_addr=(self.options.bind, 0))
                await self.stay_registered()
            try:
                streams = await asyncio.open_connection(
                    *self.options.server, local_addr=(self.options.bind, 0))
            except OSError as problem:
                self.event("disconnected", text=str(problem))
                await asyncio.sleep(1)
                continue
            self.link = TcpLink(self, *streams)
            reading = self.spawn(self.link.run())
            living = self.spawn(self.stay_registered())
            try:
                await asyncio.wait((reading, living), return_when=asyncio.FIRST_COMPLETED)
            finally:
                living.cancel()
            self.is_registered = False
            self.event("disconnected", text="the platform closed the SIP connection")
            await asyncio.sleep(1)

    async def stay_registered(self):
        clock = asyncio.get_running_loop().time
        while True:
            granted = await self.register(self.options.expires)
            if not granted:
                await asyncio.sleep(self.options.register_retry)
                continue
            until, missed = clock() + granted * 0.8, 0
            self.again.clear()
            while clock() < until and missed < 3 and not self.again.is_set():
                kept = await self.keep_alive()
                missed = 0 if kept else missed + 1
                pause = min(self.options.keepalive, max(until - clock(), 0))
                try:
                    await asyncio.wait_for(self.again.wait(), pause)
                except TimeoutError:
                    pass

    async def close(self):
        """Ends its calls, unregisters and goes."""
        for call in list(self.calls.values()):
            if call.sender and not call.ended:
                await self.hang_up(call, "the device is switched off")
        if self.is_registered:
            await self.register(0)
        for task in list(self.tasks):
            task.cancel()
        if self.link:
            self.link.close()

    # Requests of the device

    async def register(self, expires):
        """Registers (or with 0 unregisters); the seconds granted, or None."""
        for attempt in range(3):
            self.register_sequence += 1
            headers = [("Contact", f"<{self.contact}>"), ("Expires", str(expires))]
            if self.challenge:
                self.challenge_uses += 1
                headers.append(("Authorization", gb_sip.authorization(
                    self.challenge, "REGISTER", self.server_uri, self.id, self.options.password,
                    self.challenge_uses)))
            request = self.build(
                "REGISTER", self.server_uri, f"<{self.own_uri}>",
                f"<{self.own_uri}>;tag={self.register_tag}", self.register_call,
                self.register_sequence, headers)
            response = await self.request(request)
            if response is None:
                self.event("register_timeout")
                return None
            if response.status == 401:
                had, self.challenge = self.challenge, self.choose_challenge(response)
                self.challenge_uses = 0
                if not self.challenge:
                    return None
                stale = self.challenge.get("stale", "").lower() == "true"
                renewed = had and attempt == 0 and had["nonce"] != self.challenge["nonce"]
                if not had or stale or renewed:  # the nonce of the last registration may be old
                    continue
            if response.status != 200:
                self.event("register_refused", status=response.status)
                self.challenge = None
                return None
            if not self.challenge and self.options.password:
                self.error("registered without a challenge")
            return self.registered(response, expires)
        self.error("a third challenge for one registration")
        return None

    def choose_challenge(self, response):
        usable, offered = [], response.all("WWW-Authenticate")
        if not offered:
            self.error("401 without WWW-Authenticate")
        for value in offered:
            faults = []
            challenge = gb_sip.read_challenge(value, faults)
            for fault in faults:
                self.error(fault)
            if challenge:
                usable.append(challenge)
                if challenge["realm"] != self.options.domain:
                    self.error(f"realm {challenge['realm']!r} is not {self.options.domain!r}")
        self.event("challenged", algorithms=[one.get("algorithm", "MD5") for one in usable],
                   qop=[one.get("qop", "") for one in usable],
                   stale=any(one.get("stale", "").lower() == "true" for one in usable))
        for challenge in usable:
            if challenge.get("algorithm", "MD5").upper() == self.options.algorithm:
                return challenge
        if usable:
            self.error(f"{self.options.algorithm} is not offered")
        return usable[0] if usable else None

    def registered(self, response, expires):
        if expires == 0:
            self.is_registered = False
            self.event("unregistered")
            return 1
        granted = response.get("Expires") or gb_sip.parameter(response.get("Contact"), "expires")
        if not granted or not granted.isdigit() or not 0 < int(granted) <= expires:
            self.error(f"REGISTER: Expires {granted!r} in the 200 to {expires} asked for")
            granted = str(expires)
        self.check_date(response.get("Date"))
        self.is_registered = True
        self.event("registered", expires=int(granted), date=response.get("Date"))
        return int(granted)

    def check_date(self, text):
        """Date as GB/T 28181 has it: a local time without zone."""
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?", text):
            return self.error(f"REGISTER: Date {text!r} in the 200 (want 2024-01-31T12:34:56.789)")
        told = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
        away = (told - datetime.datetime.now(datetime.UTC)).total_seconds()
        zones = round(away / 900)  # local time is a number of quarters of an hour from UTC
        if abs(zones) > 56 or abs(away - zones * 900) > 30:
            self.error(f"REGISTER: Date {text} is wrong")

    async def message(self, body):
        """Sends a MESSAGE with XML; its response or None."""
        return await self.request(self.build(
            "MESSAGE", self.server_uri, f"<{self.server_uri}>",
            f"<{self.own_uri}>;tag={self.token()}", self.token(), 20,
            [("Content-Type", MANSCDP)], body))

    async def keep_alive(self):
        self.serial += 1
        response = await self.message(self.xml(
            "Notify", "Keepalive", self.serial, self.id, "<Status>OK</Status>\r\n"))
        status = response.status if response else None
        if status == 200:
            self.event("keepalive", sn=self.serial)
            return True
        self.event("keepalive_refused", sn=self.serial, status=status)
        if status is not None:  # the platform does not know the device: register again
            self.challenge = None
            self.again.set()
        return False

    async def hang_up(self, call, reason):
        """BYE from the device."""
        if call.ended:
            return
        call.ended = True
        self.stop_media(call, reason)
        call.sequence += 1
        invite = call.invite
        response = await self.request(self.build(
            "BYE", gb_sip.address(invite.get("Contact") or invite.get("From")), invite.get("From"),
            f"{invite.get('To')};tag={call.tag}", invite.get("Call-ID"), call.sequence))
        self.calls.pop(invite.get("Call-ID"), None)
        status = response.status if response else None
        self.event("hung_up", channel=call.channel, status=status, reason=reason)
        if status != 200:
            self.error(f"BYE of the device was answered {status}", channel=call.channel)

    # Requests of the platform

    def call_of(self, request):
        """The call that a request belongs to, when its tags fit; else None and an error."""
        call = self.calls.get(request.get("Call-ID"))
        if call is None:
            return None
        ours = gb_sip.parameter(request.get("To"), "tag")
        theirs = gb_sip.parameter(request.get("From"), "tag")
        if (ours, theirs) != (call.tag, call.remote_tag):
            self.error(f"{request.method}: tags {theirs!r} and {ours!r} are not the call's "
                       f"{call.remote_tag!r} and {call.tag!r}", channel=call.channel)
            return None
        if request.method != "ACK" and request.sequence <= call.invite.sequence:
            self.error(f"{request.method}: CSeq {request.sequence} does not rise",
                       channel=call.channel)
        accepted = call.status == 200
        if accepted and request.uri != self.contact:
            self.error(f"{request.method}: Request-URI {request.uri} is not the Contact "
                       f"{self.contact}", channel=call.channel)
        return call

    def on_invite(self, request):
        channel = gb_sip.user(request.uri)
        if gb_sip.parameter(request.get("To"), "tag"):
            self.error("INVITE within a call", channel=channel)
            self.respond(request, 488)
            return
        if channel not in (self.id, *self.channels):
            self.error(f"INVITE for {channel}, which is no channel of {self.id}")
            self.respond(request, 404)
            return
        call = Call(request, channel, self.token())
        self.calls[request.get("Call-ID")] = call
        if request.get("Content-Type").lower() != "application/sdp":
            self.error(f"INVITE: Content-Type {request.get('Content-Type')!r}", channel=channel)
        faults = []
        call.offer = gb_sip.read_offer(request.body, self.options.domain, faults)
        subject = re.fullmatch(r"(\d{20}):(\d{10}),(\d{20}):([^,\s]+)", request.get("Subject"))
        if not subject:
            faults.append(f"Subject {request.get('Subject')!r}")
        elif subject[1] != channel or subject[3] != self.options.platform_id:
            faults.append(f"Subject {subject[0]!r} does not name the channel and the platform")
        elif call.offer and subject[2] != call.offer.ssrc:
            faults.append(f"Subject {subject[0]!r} has not the SSRC of y={call.offer.ssrc}")
        for fault in faults:
            self.error(f"INVITE: {fault}", channel=channel)
        offer = vars(call.offer) if call.offer else None
        self.event("invite", channel=channel, offer=offer, subject=request.get("Subject"),
                   call=request.get("Call-ID"))
        if not self.options.silent:
            call.task = self.spawn(self.answer(call))

    async def answer(self, call):
        """100, the answer, ACK, media."""
        options, offer = self.options, call.offer
        self.respond(call.invite, 100)
        if options.answer_delay and await within(call.cancelled, options.answer_delay):
            await self.final(call, 487)
            return
        if options.refuse or offer is None:
            await self.final(call, options.refuse or 488)
            return
        ssrc = int(offer.ssrc) if offer.ssrc.isdigit() else self.random.getrandbits(30)
        other = (ssrc + 1) % 2_000_000_000
        sent = {"offer": ssrc, "zero": 0, "other": other, "wrong": other}[options.ssrc]
        named = other if options.ssrc == "other" else ssrc
        sock = connected = None
        port = 9  # RFC 4145, 4.1: of who connects
        if offer.transport == "udp":
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((options.bind, 0))
            port = sock.getsockname()[1]
        elif offer.transport == "active":
            connected, listener = await _listen(options.bind, 0)
            port = listener.sockets[0].getsockname()[1]
        try:
            body = b"" if options.no_answer_sdp else gb_sip.answer(
                offer, call.channel, options.bind, port, f"{named:010d}", not options.no_y)
            headers = [("Contact", f"<{self.contact}>")]
            if body:
                headers.append(("Content-Type", "application/sdp"))
            if not await self.final(call, 200, headers, body) or call.ended:
                if sock:
                    sock.close()
                return
            outlet, reader = await self.open_media(call, sock, connected)
        finally:
            if connected:
                listener.close()
        if outlet is None or call.ended:
            if outlet:
                outlet.close()
            await self.hang_up(call, "no media connection")
            return
        once = offer.name in ("Playback", "Download")
        call.sender = gb_rtp.Sender(
            self.pacer, self.source, outlet, ssrc=sent, payload_type=options.pt,
            seed=self.random.getrandbits(32), loss=options.loss, reorder=options.reorder,
            loops=options.loops or (1 if once else 0), audio_after=options.audio_after,
            finished=lambda: self.spawn(self.media_finished(call)),
            report=functools.partial(self.event, channel=call.channel))
        call.sender.start()
        self.event("media_started", channel=call.channel, transport=offer.transport,
                   to=f"{offer.host}:{offer.port}", ssrc=f"{sent:010d}",
                   call=call.invite.get("Call-ID"))
        if options.bye_after:
            asyncio.get_running_loop().call_later(
                options.bye_after, lambda: self.spawn(self.hang_up(call, "--bye-after")))
        if reader:
            await _drain(reader)
            if not call.ended:
                self.stop_media(call, "the platform closed the media connection")
                await asyncio.sleep(BYE_GRACE)
                await self.hang_up(call, "the platform closed the media connection")

    async def final(self, call, status, headers=(), body=b""):
        """Sends the final response to an INVITE until it is acknowledged; whether it was."""
        call.status = status
        data = self.respond(call.invite, status, headers, body, call.tag)
        interval, left = T1, self.options.ack_timeout
        while left > 0:
            pause = min(interval, left)
            if await within(call.acked, pause):
                return True
            left, interval = left - pause, min(2 * interval, T2)
            if self.link.name == "UDP" and left > 0:
                self.link.send(data)
        self.error(f"no ACK to the {status} in {self.options.ack_timeout:g} s",
                   channel=call.channel)
        if status == 200:
            await self.hang_up(call, "no ACK")
        self.calls.pop(call.invite.get("Call-ID"), None)
        return False

    async def open_media(self, call, sock, connected):
        """Where the media goes, and for TCP what to read from."""
        offer, options = call.offer, self.options
        place = offer.host, offer.port
        if offer.transport == "udp":
            return gb_rtp.Udp(None, place, sock), None
        try:
            async with asyncio.timeout(MEDIA_CONNECT_LIMIT):
                if connected:
                    reader, writer = await connected
                else:
                    reader, writer = await asyncio.open_connection(
                        *place, local_addr=(options.bind, 0))
        except (OSError, TimeoutError) as problem:
            what = ("the platform does not connect to the device's media port" if connected else
                    f"cannot connect to the media port {offer.host}:{offer.port}: {problem}")
            self.error(what, channel=call.channel)
            return None, None
        return gb_rtp.Tcp(writer, options.tcp_framing), reader

    def stop_media(self, call, reason):
        if call.sender and not call.sender.stopped:
            self.event("media_stopped", channel=call.channel, reason=reason, **call.sender.stop())

    async def media_finished(self, call):
        """A recording is at its end: MediaStatus 121, and the platform hangs up."""
        self.event("media_finished", channel=call.channel)
        if call.offer.name == "Play":
            return await self.hang_up(call, "--loops")
        self.serial += 1
        response = await self.message(self.xml(
            "Notify", "MediaStatus", self.serial, call.channel, "<NotifyType>121</NotifyType>\r\n"))
        if response is None or response.status != 200:
            self.error(f"MediaStatus was answered {response and response.status}")

    def on_ack(self, request):
        call = self.call_of(request)
        if call is None or call.status is None:
            return self.error(f"ACK that belongs to no answered INVITE: {request.get('Call-ID')}")
        if request.sequence != call.invite.sequence:
            self.error(f"ACK: CSeq {request.sequence}, the INVITE has {call.invite.sequence}",
                       channel=call.channel)
        same = request.branch == call.invite.branch
        if same != (call.status != 200):  # RFC 3261, 13.2.2.4 and 17.1.1.3
            fault = "the branch of the INVITE" if same else "another branch than the INVITE"
            self.error(f"ACK to {call.status} with {fault}", channel=call.channel)
        if request.body:
            self.error("ACK with a body", channel=call.channel)
        if not call.acked.is_set():
            self.event("ack", channel=call.channel, status=call.status)
        call.acked.set()
        if call.status != 200:
            self.calls.pop(request.get("Call-ID"), None)

    def on_cancel(self, request):
        call = self.calls.get(request.get("Call-ID"))
        if call is None or request.branch != call.invite.branch:
            self.error("CANCEL that belongs to no INVITE")
            self.respond(request, 481)
            return
        if self.options.silent:
            self.error("CANCEL before any provisional response (RFC 3261, 9.1)")
        if request.sequence != call.invite.sequence:
            self.error("CANCEL: CSeq is not the INVITE's")
        self.event("cancel", channel=call.channel)
        self.respond(request, 200, tag=call.tag)
        call.cancelled.set()

    def on_bye(self, request):
        call = self.call_of(request)
        if call is None:
            self.error(f"BYE that belongs to no call: {request.get('Call-ID')}")
            self.respond(request, 481)
            return
        self.respond(request, 200)
        self.event("bye", channel=call.channel, call=request.get("Call-ID"))
        if not call.acked.is_set():
            self.error("BYE before ACK", channel=call.channel)
        if not call.ended:
            call.ended = True
            self.stop_media(call, "BYE")
            self.calls.pop(request.get("Call-ID"), None)
        call.acked.set()

    def on_info(self, request):
        call = self.call_of(request)
        if call is None:
            self.error("INFO that belongs to no call")
            self.respond(request, 481)
            return
        if request.get("Content-Type").lower() != MANSRTSP.lower():
            self.error(f"INFO: Content-Type {request.get('Content-Type')!r}", channel=call.channel)
        lines = request.body.decode("utf-8", "replace").split("\r\n")
        command = lines[0].split(" ")[0]
        fields = {name.strip().lower(): value.strip() for name, _, value in
                  (line.partition(":") for line in lines[1:] if line)}
        if not re.fullmatch(r"(PLAY|PAUSE|TEARDOWN) (MANSRTSP|RTSP)/1\.0", lines[0]):
            self.error(f"INFO: first line {lines[0]!r}", channel=call.channel)
        if not fields.get("cseq", "").isdigit():
            self.error("INFO: no CSeq", channel=call.channel)
        self.event("playback_control", channel=call.channel, command=command,
                   scale=fields.get("scale"), range=fields.get("range"))
        self.respond(request, 200)
        if call.sender and command == "PAUSE":
            call.sender.pause()
        elif call.sender and command == "PLAY":
            try:
                scale = float(fields.get("scale", "0"))
            except ValueError:
                return self.error(f"INFO: Scale {fields['scale']!r}", channel=call.channel)
            call.sender.resume(scale if scale > 0 else None)

    def on_options(self, request):
        self.respond(request, 200)

    def on_subscribe(self, request):
        _, fields = self.read_xml(request)
        if not request.get("Expires").isdigit():
            self.error("SUBSCRIBE without Expires")
        if not request.get("Event"):
            self.error("SUBSCRIBE without Event")
        self.event("subscribe", command=fields.get("CmdType"), expires=request.get("Expires"))
        self.respond(request, 200, [("Expires", request.get("Expires", "0")),
                                    ("Contact", f"<{self.contact}>")])

    def on_message(self, request):
        kind, fields = self.read_xml(request)
        if kind is None or not fields.get("CmdType"):
            self.respond(request, 400)
            return
        target = fields.get("DeviceID", "")
        if target not in (self.id, *self.channels):
            self.error(f"MESSAGE about {target!r}, which is not {self.id} or a channel of it")
            self.respond(request, 404)
            return
        self.respond(request, 200)
        if kind == "Query":
            self.spawn(self.on_query(fields))
        elif kind == "Control":
            self.on_control(fields)
        else:
            self.event("query", kind=kind, command=fields.get("CmdType"))

    def read_xml(self, request):
        faults = []
        if request.get("Content-Type").lower() != MANSCDP.lower():
            faults.append(f"Content-Type {request.get('Content-Type')!r}")
        kind, fields = gb_manscdp.read(request.body, faults)
        for fault in faults:
            self.error(f"{request.method}: {fault}")
        return kind, fields

    async def on_query(self, fields):
        command, serial, target = fields["CmdType"], fields.get("SN", "0"), fields["DeviceID"]
        if command == "Catalog":
            self.event("catalog_query", sn=serial)
            await self.send_catalog(serial)
            return
        if command == "RecordInfo":
            self.event("record_query", sn=serial, channel=target)
            await self.send_records(serial, target, fields)
            return
        if command == "DeviceInfo":
            self.event("device_info_query", sn=serial)
            inner = {"DeviceName": self.name(0), "Result": "OK", "Manufacturer": "Simulated",
                     "Model": "gb_device", "Firmware": "1.0", "Channel": len(self.channels)}
        elif command == "DeviceStatus":
            self.event("device_status_query", sn=serial)
            inner = {"Result": "OK", "Online": "ONLINE", "Status": "OK", "Encode": "ON",
                     "Record": "OFF",
                     "DeviceTime": datetime.datetime.now().isoformat(timespec="seconds")}
        else:
            self.event("query", kind="Query", command=command, sn=serial)
            inner = {"Result": "ERROR"}
        await self.message(self.xml(
            "Response", command, serial, target, gb_manscdp.elements(inner)))

    async def send_catalog(self, serial):
        size = self.options.catalog_chunk or 2
        items = [
            gb_manscdp.catalogue_item(self.id, channel, number, self.name(number + 1))
            for number, channel in enumerate(self.channels)
        ]
        chunks = [items[at:at + size] for at in range(0, len(items), size)] or [[]]
        if self.options.catalog_chunk:
            chunks.reverse()
        for chunk in chunks:
            response = await self.message(self.xml(
                "Response", "Catalog", serial, self.id,
                f"<SumNum>{len(items)}</SumNum>\r\n<DeviceList Num=\"{len(chunk)}\">\r\n"
                + "".join(chunk) + "</DeviceList>\r\n"))
            if response is None or response.status != 200:
                self.error(f"a part of the catalogue was answered {response and response.status}")
        self.event("catalog_sent", sn=serial, items=len(items), messages=len(chunks))

    async def send_records(self, serial, channel, fields):
        """Three recordings of half an hour from the beginning on, two in a message, the last first."""
        try:
            start = datetime.datetime.strptime(fields.get("StartTime", ""), "%Y-%m-%dT%H:%M:%S")
            datetime.datetime.strptime(fields.get("EndTime", ""), "%Y-%m-%dT%H:%M:%S")
        except ValueError:
            self.error(f"RecordInfo from {fields.get('StartTime')!r} to {fields.get('EndTime')!r}")
            return
        half = datetime.timedelta(minutes=30)
        items = [
            gb_manscdp.record_item(channel, self.name(number + 1), start + half * number * 2, half)
            for number in range(3)
        ]
        for chunk in (items[2:], items[:2]):
            await self.message(self.xml(
                "Response", "RecordInfo", serial, channel,
                gb_manscdp.elements({"Name": self.name(0), "SumNum": len(items)})
                + f"<RecordList Num=\"{len(chunk)}\">\r\n" + "".join(chunk) + "</RecordList>\r\n"))

    def name(self, number):
        if self.options.gbk:  # the last character is in GBK but not in GB2312, as in real names
            return f"摄像机{number}号<堃>"
        return f"Camera {number} & more"

    def xml(self, root, command, serial, target, inner):
        return gb_manscdp.write(root, command, serial, target, inner, self.options.gbk)

    def on_control(self, fields):
        target, known = fields["DeviceID"], False
        if fields.get("CmdType") != "DeviceControl":
            self.error(f"Control with CmdType {fields.get('CmdType')!r}")
        if "PTZCmd" in fields:
            known = True
            self.on_ptz(target, fields["PTZCmd"])
        for name in ("IFrameCmd", "IFameCmd"):  # 2022, and as 2016 spells it
            if name in fields:
                known = True
                self.event("iframe", channel=target, element=name)
                if fields[name] != "Send":
                    self.error(f"{name} {fields[name]!r}", channel=target)
        if "TeleBoot" in fields:
            known = True
            self.event("teleboot", channel=target)
            if fields["TeleBoot"] != "Boot":
                self.error(f"TeleBoot {fields['TeleBoot']!r}", channel=target)
        if not known:
            commands = {name: value for name, value in fields.items()
                        if name not in ("CmdType", "SN", "DeviceID")}
            self.event("control", channel=target, commands=commands)
            self.spawn(self.message(self.xml(  # these have an answer, those above have none
                "Response", "DeviceControl", fields.get("SN", "0"), target,
                gb_manscdp.elements({"Result": "OK"}))))

    def on_ptz(self, target, text):
        faults = []
        facts = gb_manscdp.read_ptz(text, faults)
        for fault in faults:
            self.error(fault, channel=target)
        self.event("ptz", channel=target, hex=text.upper(), **facts)


async def _listen(host, port):
    """A listener, and a future of the first connection's streams."""
    first = asyncio.get_running_loop().create_future()

    def accept(reader, writer):
        if first.done():
            writer.close()
        else:
            first.set_result((reader, writer))
    return first, await asyncio.start_server(accept, host, port)


async def _drain(reader):
    """Until a connection ends."""
    try:
        while await reader.read(65536):
            pass
    except OSError:
        pass


# The ways to run

async def run_devices(options, log, source, stop):
    pacer = gb_rtp.Pacer()
    devices = [Device(options, index, log, pacer, source) for index in range(options.devices)]
    log.event("started", devices=[device.id for device in devices][:1000],
              channels=devices[0].channels[:1000])

    async def begin(device, number):
        await asyncio.sleep(number * options.ramp / len(devices))
        await device.run()

    lives = [device.spawn(begin(device, number)) for number, device in enumerate(devices)]
    await within(stop, options.seconds or math.inf)
    for life in lives:
        life.cancel()
    await asyncio.wait(
        [asyncio.create_task(device.close()) for device in devices], timeout=GOODBYE_LIMIT)


async def run_stream(options, log, source, stop):
    """`send` and `listen`."""
    pacer = gb_rtp.Pacer()
    reader = None
    if options.mode == "listen":
        connected, listener = await _listen(options.bind, options.port)
        log.event("listening", port=listener.sockets[0].getsockname()[1])
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait((connected, waiting), return_when=asyncio.FIRST_COMPLETED)
        listener.close()
        if stop.is_set():
            return
        reader, writer = connected.result()
        outlet = gb_rtp.Tcp(writer, options.tcp_framing)
    elif options.media_transport == "tcp":
        reader, writer = await asyncio.open_connection(*options.to)
        outlet = gb_rtp.Tcp(writer, options.tcp_framing)
    else:
        outlet = gb_rtp.Udp((options.bind, options.local_port), options.to)
    sender = gb_rtp.Sender(
        pacer, source, outlet, ssrc=options.ssrc, payload_type=options.pt, seed=options.seed,
        loss=options.loss, reorder=options.reorder, loops=options.loops,
        audio_after=options.audio_after, finished=stop.set, report=log.event)
    sender.start()
    log.event("media_started", ssrc=f"{options.ssrc:010d}")
    reason = "the end"
    if reader:
        async def watch():
            nonlocal reason
            await _drain(reader)
            reason = "the platform closed the media connection"
            stop.set()
        watching = asyncio.create_task(watch())
    await within(stop, options.seconds or math.inf)
    if reader:
        watching.cancel()
        try:
            async with asyncio.timeout(GOODBYE_LIMIT):
                await writer.drain()
        except (OSError, TimeoutError):
            pass
    log.event("media_stopped", reason=reason, **sender.stop())


def _stop_signal():
    """An event that SIGTERM sets at any time of the process's life, and that ends it in order."""
    stop = asyncio.Event()

    def handle(*_):
        try:
            asyncio.get_running_loop().call_soon_threadsafe(stop.set)
        except RuntimeError:  # not yet, or no more
            stop.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _place(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _id(text):
    if not re.fullmatch(r"\d{20}", text):
        raise argparse.ArgumentTypeError(f"{text!r} has not 20 digits")
    return text


def _arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    sip = modes.add_parser("devices", help="devices that register by SIP (also without this word)")
    send = modes.add_parser("send", help="send to a port without SIP")
    listen = modes.add_parser("listen", help="send to whoever connects, without SIP")

    sip.add_argument("--server", type=_place, required=True, metavar="HOST:PORT",
                     help="the platform")
    sip.add_argument("--transport", choices=("udp", "tcp"), default="udp", help="of SIP (udp)")
    sip.add_argument("--platform-id", type=_id, default="34020000002000000001", metavar="ID")
    sip.add_argument("--domain", default="3402000000", help="SIP domain and realm")
    sip.add_argument("--device-id", type=_id, default="34020000001180000001", metavar="ID",
                     help="of the first device; the others count up")
    sip.add_argument("--channel-id", type=_id, metavar="ID",
                     help="of the first channel of the first device; all others count up "
                     "(10 digits of the device, then 1310000001)")
    sip.add_argument("--password", default="12345678")
    sip.add_argument("--devices", type=int, default=1, metavar="N", help="number of devices (1)")
    sip.add_argument("--channels", type=int, default=1, metavar="N", help="channels of each (1)")
    sip.add_argument("--ramp", type=float, default=0, metavar="SECONDS",
                     help="spread the devices' starts over this time")
    sip.add_argument("--expires", type=int, default=3600, metavar="SECONDS",
                     help="asked for (3600)")
    sip.add_argument("--keepalive", type=float, default=60, metavar="SECONDS", help="interval (60)")
    sip.add_argument("--register-retry", type=float, default=5, metavar="SECONDS",
                     help="until the next try after a refusal (5)")
    sip.add_argument("--algorithm", choices=("MD5", "SHA-256"), default="MD5",
                     help="which digest challenge to take (MD5)")
    sip.add_argument("--gb-version", choices=("2016", "2022"), default="2016",
                     help="2022 sends X-GB-Ver: 3.0")
    sip.add_argument("--gbk", action="store_true",
                     help="XML declared GB2312 and encoded GBK, with Chinese names")
    sip.add_argument("--catalog-chunk", type=int, metavar="N",
                     help="catalogue items per MESSAGE, the last ones first (2, in order)")
    sip.add_argument("--nat", action="store_true",
                     help="Via and Contact name an address that cannot be reached (192.0.2.9:5060)")
    sip.add_argument("--ssrc", choices=("offer", "zero", "other", "wrong"), default="offer",
                     help="of RTP: as in the offer; 0; another, named by y= of the answer (other); "
                     "another, though the answer repeats the offer's (wrong)")
    sip.add_argument("--no-y", action="store_true", help="no y= in the answer")
    sip.add_argument("--refuse", type=int, metavar="STATUS", help="answer INVITE with this status")
    sip.add_argument("--silent", action="store_true", help="never answer INVITE")
    sip.add_argument("--answer-delay", type=float, default=0, metavar="SECONDS",
                     help="between 100 and the answer to INVITE (CANCEL is obeyed)")
    sip.add_argument("--no-answer-sdp", action="store_true",
                     help="answer INVITE with 200 without SDP")
    sip.add_argument("--ack-timeout", type=float, default=T_LIMIT, metavar="SECONDS",
                     help="until a missing ACK is an error (32)")
    sip.add_argument("--bye-after", type=float, default=0, metavar="SECONDS",
                     help="hang up after this time of media")

    send.add_argument("--to", type=_place, required=True, metavar="HOST:PORT")
    send.add_argument("--media-transport", choices=("udp", "tcp"), default="udp")
    send.add_argument("--local-port", type=int, default=0, help="UDP port to send from (any)")
    listen.add_argument("--port", type=int, default=0,
                        help="TCP port (any free one; see the event listening)")
    for mode in (send, listen):
        mode.add_argument("--ssrc", type=int, default=100000001, metavar="NUMBER", help="of RTP")

    for mode in (sip, send, listen):
        gb_ps.add_media_options(mode)
        group = mode.add_argument_group("RTP")
        group.add_argument("--pt", type=int, default=96, metavar="N",
                           help="payload type of RTP (96)")
        group.add_argument("--payload", type=int, default=1400, metavar="BYTES",
                           help="largest RTP payload (1400)")
        group.add_argument("--rtp-clock", choices=("pts", "dts"), default="pts",
                           help="what RTP times are made of (pts)")
        group.add_argument("--start", type=int, default=gb_ps.CLOCK, metavar="TICKS",
                           help="first time in the program stream (90000)")
        group.add_argument("--loops", type=int, default=0, metavar="N",
                           help="end after N times the file (0: never; a playback: after one)")
        group.add_argument("--audio-after", type=float, default=0, metavar="SECONDS",
                           help="sound begins so late (inf: never), though the map announces it")
        group.add_argument("--loss", type=float, default=0, metavar="PERCENT", help="UDP")
        group.add_argument("--reorder", type=float, default=0, metavar="PERCENT",
                           help="UDP: packets that 1 to 4 others overtake")
        group.add_argument("--tcp-framing", choices=("rfc4571", "dollar"), default="rfc4571")
        mode.add_argument("--seed", type=int, default=1, help="of loss, order, SSRC, sequence (1)")
        mode.add_argument("--bind", default="127.0.0.1", metavar="HOST", help="own address")
        mode.add_argument("--seconds", type=float, default=0, help="end after this time (never)")
        mode.add_argument("--log", default="-", metavar="FILE.jsonl", help="events (stdout)")
        mode.add_argument("--trace", action="store_true", help="SIP messages on stderr")
        mode.add_argument("--strict", action="store_true", help="exit with 3 after an error event")

    arguments = sys.argv[1:]
    if arguments and arguments[0] not in ("devices", "send", "listen", "-h", "--help"):
        arguments.insert(0, "devices")
    options = parser.parse_args(arguments)
    if not (options.media or options.video or options.audio):
        parser.error("what to send? --media, --video or --audio")
    if options.mode == "devices" and not options.channel_id:
        options.channel_id = options.device_id[:10] + "1310000001"
    return options


def main():
    stop, options = _stop_signal(), _arguments()
    log = Log(sys.stdout if options.log == "-" else open(options.log, "w"), options.trace)
    try:
        source = gb_rtp.Source(gb_ps.media_of(options), gb_ps.traits_of(options), options.start,
                               options.payload, options.rtp_clock)
    except (OSError, ValueError) as problem:
        sys.exit(f"gb_device: {problem}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets for each device
    run = run_devices if options.mode == "devices" else run_stream
    try:
        asyncio.run(run(options, log, source, stop))
    except OSError as problem:
        sys.exit(f"gb_device: {problem}")
    for number in (signal.SIGTERM, signal.SIGINT):  # else a late one would spoil the exit code
        signal.signal(number, signal.SIG_IGN)
    log.event("finished", errors=log.errors)
    return 3 if options.strict and log.errors else 0


if __name__ == "__main__":
    sys.exit(main())
