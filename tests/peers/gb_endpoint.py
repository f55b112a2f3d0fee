"""A device's end of SIP (RFC 3261): its links, its transactions, and the log of events."""
import asyncio
import collections
import json
import re
import secrets
import sys
import time
import traceback

import gb_sip

T1, T2, T_LIMIT = 0.5, 4.0, 32.0  # RFC 3261, 17: first and longest retransmission, end, seconds
REMEMBERED = 256  # requests whose answers are repeated when they come again
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "INFO", "OPTIONS", "SUBSCRIBE", "MESSAGE")
NAT_ADDRESS = "192.0.2.9", 5060  # what a device behind NAT believes its address to be


class Log:
    """Events as lines of JSON."""

    def __init__(self, file, trace=False):
        self.file, self.trace_on, self.errors = file, trace, 0
        self.begin = time.monotonic()

    def event(self, event, **facts):
        self.errors += event == "error"
        line = {"event": event, "time": round(time.monotonic() - self.begin, 3)}
        line |= {name: value for name, value in facts.items() if value is not None}
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()

    def trace(self, direction, data):
        if self.trace_on:
            sys.stderr.write(f"{direction}\n{bytes(data).decode('utf-8', 'replace')}\n")


class UdpLink(asyncio.DatagramProtocol):
    """A device's SIP socket."""
    name = "UDP"

    def __init__(self, device, server):
        self.device, self.server = device, server

    def connection_made(self, transport):
        self.transport = transport
        self.local = transport.get_extra_info("sockname")

    def datagram_received(self, data, source):
        if source != self.server:
            self.device.error(f"a datagram from {source[0]}:{source[1]}, which is not the server")
        if data.strip(b"\r\n\0"):
            self.device.receive(data)

    def send(self, data):
        self.transport.sendto(data, self.server)

    def close(self):
        self.transport.close()


class TcpLink:
    """A device's SIP connection."""
    name = "TCP"

    def __init__(self, device, reader, writer):
        self.device, self.reader, self.writer = device, reader, writer
        self.local = writer.get_extra_info("sockname")

    async def run(self):
        """Until the connection ends."""
        buffer = bytearray()
        try:
            while data := await self.reader.read(65536):
                buffer += data
                while True:
                    while buffer[:2] == b"\r\n":  # keep-alive, RFC 5626
                        del buffer[:2]
                    length = gb_sip.length_of(buffer)
                    if length == 0:
                        return self.device.error(
                            f"a message over TCP without Content-Length: {bytes(buffer[:200])!r}")
                    if length is None:
                        break
                    self.device.receive(bytes(buffer[:length]))
                    del buffer[:length]
        except OSError:
            pass
        finally:
            self.close()

    def send(self, data):
        self.writer.write(data)

    def close(self):
        self.writer.close()


class Endpoint:
    """Sends requests, answers requests; `on_METHOD(request)` of the subclass handles them.

    Whatever is wrong in what comes is an event "error".
    """

    def __init__(self, options, own_id, log):
        self.options, self.id, self.log = options, own_id, log
        self.link, self.pending, self.tasks = None, {}, set()
        self.answered = collections.OrderedDict()
        self.sent = collections.deque(maxlen=REMEMBERED)  # branches of own requests

    def token(self):
        return secrets.token_hex(8)

    def event(self, event, **facts):
        self.log.event(event, device=self.id, **facts)

    def error(self, text, **facts):
        self.event("error", text=text, **facts)

    def spawn(self, task):
        async def guarded():
            try:
                await task
            except Exception:  # a fault of this program must not look like a silent device
                self.error(f"internal: {traceback.format_exc()}")
        handle = asyncio.create_task(guarded())
        self.tasks.add(handle)
        handle.add_done_callback(self.tasks.discard)
        return handle

    @property
    def contact(self):
        host, port = NAT_ADDRESS if self.options.nat else self.link.local
        return f"sip:{self.id}@{host}:{port}"

    # Requests of the device

    async def request(self, request):
        """Sends a request (RFC 3261, 17.1.2); the final response or None after 32 s."""
        waiting = asyncio.get_running_loop().create_future()
        self.pending[request.branch] = request, waiting
        self.sent.append(request.branch)
        data, interval, left = bytes(request), T1, T_LIMIT
        over_udp = self.link.name == "UDP"
        try:
            while left > 0:
                self.log.trace(f"{self.id} sends", data)
                self.link.send(data)
                pause = min(interval, left) if over_udp else left
                try:
                    return await asyncio.wait_for(asyncio.shield(waiting), pause)
                except TimeoutError:
                    left, interval = left - pause, min(2 * interval, T2)
            return None
        finally:
            self.pending.pop(request.branch, None)

    def build(self, method, uri, to, sender, call_id, sequence, headers=(), body=b""):
        host, port = NAT_ADDRESS if self.options.nat else self.link.local
        via = f"SIP/2.0/{self.link.name} {host}:{port};rport;branch=z9hG4bK{self.token()}"
        headers = [
            ("Via", via), ("From", sender), ("To", to), ("Call-ID", call_id),
            ("CSeq", f"{sequence} {method}"), ("Max-Forwards", "70"), *headers,
        ]
        if self.options.gb_version == "2022":
            headers.append(("X-GB-Ver", "3.0"))
        headers.append(("User-Agent", "gb_device"))
        return gb_sip.Message(f"{method} {uri} SIP/2.0", headers, body)

    # Requests of the platform

    def receive(self, data):
        """Takes a message from the link."""
        try:
            self.take(data)
        except Exception:  # as in `spawn`
            self.error(f"internal: {traceback.format_exc()}")

    def take(self, data):
        self.log.trace(f"{self.id} receives", data)
        faults = []
        message = gb_sip.parse(data, faults)
        if message is None:
            for fault in faults:
                self.error(fault)
            return
        if message.status is not None:
            self.on_response(message, faults)
        else:
            self.on_request(message, faults)

    def on_response(self, response, faults):
        request, waiting = self.pending.get(response.branch, (None, None))
        if request is None:
            if response.branch not in self.sent:  # else it is a repetition, or too late
                self.error(f"a response to no request: {response.start}, Via {response.get('Via')}")
            return
        faults += gb_sip.response_faults(
            response, request, self.link.local[1], self.link.name == "UDP")
        for fault in faults:
            self.error(f"{response.status} to {request.method}: {fault}")
        if response.status >= 200 and not waiting.done():
            waiting.set_result(response)

    def on_request(self, request, faults):
        key = request.branch, request.method
        if key in self.answered and request.method != "ACK":
            if request.method == "INVITE":
                self.event("invite_retransmitted")
            if self.answered[key]:
                self.link.send(self.answered[key])
            return
        faults += gb_sip.request_faults(request)
        via_transport = re.match(r"SIP\s*/\s*2\.0\s*/\s*(\w+)", request.get("Via"))
        if via_transport and via_transport[1] != self.link.name:
            faults.append(f"Via says {via_transport[1]} over {self.link.name}")
        if gb_sip.user(gb_sip.address(request.get("From"))) != self.options.platform_id:
            faults.append(f"From {request.get('From')!r} is not {self.options.platform_id}")
        for fault in faults:
            self.error(f"{request.method}: {fault}")
        self.answered[key] = None
        while len(self.answered) > REMEMBERED:
            self.answered.popitem(last=False)
        known = request.method in METHODS
        handler = getattr(self, f"on_{request.method.lower()}") if known else None
        if handler is None:
            self.error(f"{request.method} is not for a device")
            self.respond(request, 405)
        else:
            handler(request)

    def respond(self, request, status, headers=(), body=b"", tag=None):
        self.answered[request.branch, request.method] = data = self.response(
            request, status, headers, body, tag)
        self.log.trace(f"{self.id} sends", data)
        self.link.send(data)
        return data

    def response(self, request, status, headers=(), body=b"", tag=None):
        host, port = self.options.server
        vias = request.all("Via")
        vias[:1] = [re.sub(r";\s*rport(?=;|$)", f";rport={port};received={host}", one)
                    for one in vias[:1]]
        to = request.get("To")
        if status > 100 and not gb_sip.parameter(to, "tag"):
            to += f";tag={tag or self.token()}"
        return bytes(gb_sip.Message(
            f"SIP/2.0 {status} {gb_sip.REASONS.get(status, 'Refused')}",
            [*(("Via", one) for one in vias), ("From", request.get("From")), ("To", to),
             ("Call-ID", request.get("Call-ID")), ("CSeq", request.get("CSeq")),
             *headers, ("User-Agent", "gb_device")], body))


async def within(happened, seconds):
    """Whether an event is set within a time."""
    try:
        await asyncio.wait_for(happened.wait(), seconds)
    except TimeoutError:
        return False
    return True
