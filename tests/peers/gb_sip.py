"""SIP messages (RFC 3261), digest authentication (RFC 2617, 7616) and SDP offers, read strictly.

What a platform does wrong comes back as a list of sentences ("faults"); reading goes on as far as
it can. Only what GB/T 28181 uses is here.
"""
import dataclasses
import hashlib
import re
import secrets

COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "s": "Subject",
           "l": "Content-Length", "c": "Content-Type", "k": "Supported", "e": "Content-Encoding"}
SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type",
          "Subject", "Expires", "Date", "Event")
REASONS = {100: "Trying", 200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 408: "Request Timeout", 415: "Unsupported Media Type",
           481: "Call/Transaction Does Not Exist", 486: "Busy Here", 487: "Request Terminated",
           488: "Not Acceptable Here", 500: "Server Internal Error", 503: "Service Unavailable",
           603: "Decline"}


class Message:
    """A request or a response."""

    def __init__(self, start, headers, body=b""):
        self.start, self.headers, self.body = start, headers, body

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name, default=""):
        return next(iter(self.all(name)), default)

    def __bytes__(self):
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body

    @property
    def status(self):
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self):
        """Of a request its method, of a response the method that it answers."""
        if self.status is not None:
            return self.get("CSeq").split(" ")[-1]
        return self.start.split(" ")[0]

    @property
    def uri(self):
        return self.start.split(" ")[1]

    @property
    def sequence(self):
        match = re.match(r"\d+", self.get("CSeq"))
        return int(match[0]) if match else -1

    @property
    def branch(self):
        return parameter(self.get("Via"), "branch")


def parameter(value, name):
    """A parameter after `;`, outside of <>; "" when it has no value, None when it is absent."""
    outside = re.sub(r"<[^>]*>", "", value)
    match = re.search(rf";\s*{name}\s*(?:=\s*([^;,\s]*))?(?=[;,\s]|$)", outside, re.IGNORECASE)
    return (match[1] or "") if match else None


def address(value):
    """The URI of a name-addr or addr-spec."""
    match = re.search(r"<([^>]*)>", value)
    return match[1] if match else value.split(";")[0].strip()


def user(uri):
    match = re.match(r"sips?:([^@]*)@", uri)
    return match[1] if match else ""


def parse(data, faults):
    """A message from a datagram, or from a stream once `length_of` said that it is whole."""
    head, gap, body = data.partition(b"\r\n\r\n")
    if not gap:
        faults.append("no empty line after the headers")
        return None
    if re.search(rb"(?<!\r)\n|\r(?!\n)", head):
        faults.append("a line does not end in CR LF")
    lines = head.decode("utf-8", "replace").split("\r\n")
    message = Message(lines[0], [], body)
    if not re.fullmatch(r"SIP/2\.0 [1-6]\d\d .*|[A-Z]+ \S+ SIP/2\.0", lines[0]):
        faults.append(f"bad first line {lines[0]!r}")
        return None
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and message.headers:
            name, value = message.headers[-1]
            message.headers[-1] = name, f"{value} {line.strip()}"
            continue
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]+\s*", name):
            faults.append(f"bad header line {line!r}")
            continue
        name = name.strip()
        message.headers.append((COMPACT.get(name.lower(), name), value.strip()))
    for name in SINGLE:
        if len(message.all(name)) > 1:
            faults.append(f"{name} occurs {len(message.all(name))} times")
    length = message.get("Content-Length", None)
    if length is None:
        faults.append("Content-Length is missing")
    elif not length.isdigit():
        faults.append(f"Content-Length is {length!r}")
    elif int(length) != len(body):
        faults.append(f"Content-Length is {length} but the body has {len(body)} bytes")
        message.body = body[:int(length)]
    return message


def length_of(buffer):
    """Bytes of the first message in a stream; None when more are needed (0: cannot be framed)."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None if len(buffer) < 65536 else 0
    match = re.search(rb"\r\n(?:content-length|l)[ \t]*:[ \t]*(\d+)", bytes(buffer[:end]), re.I)
    if not match:
        return 0
    whole = end + 4 + int(match[1])
    return whole if len(buffer) >= whole else None


def request_faults(request):
    """What RFC 3261, 8.1.1 wants of each request."""
    faults = []
    for name in ("Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards"):
        if not request.get(name):
            faults.append(f"{name} is missing")
    via = request.get("Via")
    if via and not re.match(r"SIP\s*/\s*2\.0\s*/\s*(UDP|TCP)\s+\S", via):
        faults.append(f"bad Via {via!r}")
    if via and not (request.branch or "").startswith("z9hG4bK"):
        faults.append("the branch of Via does not begin with z9hG4bK")
    if request.get("From") and not parameter(request.get("From"), "tag"):
        faults.append("From has no tag")
    match = re.fullmatch(r"(\d+)\s+([A-Z]+)", request.get("CSeq"))
    if request.get("CSeq") and not match:
        faults.append(f"bad CSeq {request.get('CSeq')!r}")
    elif match and match[2] != request.method:
        faults.append(f"CSeq says {match[2]} in a {request.method}")
    if request.get("Max-Forwards") and not request.get("Max-Forwards").isdigit():
        faults.append(f"bad Max-Forwards {request.get('Max-Forwards')!r}")
    if request.body and not request.get("Content-Type"):
        faults.append("a body without Content-Type")
    if not re.match(r"sips?:[^@\s]+@[^@\s]+$", request.uri):
        faults.append(f"bad Request-URI {request.uri!r}")
    if request.method in ("INVITE", "SUBSCRIBE") and not address(request.get("Contact")):
        faults.append("Contact is missing")
    return faults


def response_faults(response, request, local_port, over_udp):
    """Whether a response fits the request that it answers (RFC 3261, 8.2.6; RFC 3581)."""
    faults = []
    for name in ("From", "Call-ID", "CSeq"):
        if response.get(name) != request.get(name):
            faults.append(
                f"{name} {response.get(name)!r} is not the request's {request.get(name)!r}")
    if address(response.get("To")) != address(request.get("To")):
        faults.append(f"To {response.get('To')!r} is not the request's {request.get('To')!r}")
    if response.status > 100 and not parameter(response.get("To"), "tag"):
        faults.append("To has no tag")
    sent, came = request.get("Via"), response.get("Via")
    if len(response.all("Via")) != 1:
        faults.append(f"{len(response.all('Via'))} Via headers")
    if came.split(";")[0] != sent.split(";")[0] or response.branch != request.branch:
        faults.append(f"Via {came!r} is not the request's {sent!r}")
    if over_udp and parameter(came, "rport") != str(local_port):
        faults.append(f"rport is {parameter(came, 'rport')!r}, the request came from {local_port}")
    if over_udp and not parameter(came, "received"):
        faults.append("Via has no received (RFC 3581, 4: with rport it must)")
    return faults


# Digest authentication

def read_challenge(value, faults):
    """Parameters of a WWW-Authenticate header; None when it is no usable challenge."""
    if not value.lower().startswith("digest "):
        faults.append(f"no Digest challenge: {value!r}")
        return None
    fields = {}
    rest = value[7:]
    while rest.strip():
        match = re.match(r'\s*([A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)\s*(?:,|$)', rest)
        if not match:
            faults.append(f"bad challenge near {rest!r}")
            return None
        if match[1].lower() in fields:
            faults.append(f"{match[1]} occurs twice in the challenge")
        quoted = match[2].startswith('"')
        if match[1].lower() in ("realm", "nonce", "opaque", "qop", "domain") and not quoted:
            faults.append(f"{match[1]} is not quoted in the challenge")
        if match[1].lower() in ("algorithm", "stale") and quoted:
            faults.append(f"{match[1]} is quoted in the challenge")
        fields[match[1].lower()] = match[2].strip('"')
        rest = rest[match.end():]
    for name in ("realm", "nonce"):
        if not fields.get(name):
            faults.append(f"the challenge has no {name}")
            return None
    if fields.get("algorithm", "MD5").upper() not in ("MD5", "SHA-256"):
        faults.append(f"algorithm {fields['algorithm']!r} is neither MD5 nor SHA-256")
        return None
    return fields


def authorization(challenge, method, uri, name, password, count):
    """The Authorization header for a challenge; `count`: uses of its nonce, this one included."""
    algorithm = challenge.get("algorithm", "MD5")
    digest = hashlib.sha256 if algorithm.upper() == "SHA-256" else hashlib.md5

    def hexed(text):
        return digest(text.encode()).hexdigest()

    first = hexed(f"{name}:{challenge['realm']}:{password}")
    second = hexed(f"{method}:{uri}")
    parts = [f'username="{name}"', f'realm="{challenge["realm"]}"',
             f'nonce="{challenge["nonce"]}"', f'uri="{uri}"']
    if "auth" in [one.strip() for one in challenge.get("qop", "").split(",")]:
        client, uses = secrets.token_hex(8), f"{count:08x}"
        answer = hexed(f"{first}:{challenge['nonce']}:{uses}:{client}:auth:{second}")
        parts += [f'response="{answer}"', "qop=auth", f"nc={uses}", f'cnonce="{client}"']
    else:
        parts.append(f'response="{hexed(first + ":" + challenge["nonce"] + ":" + second)}"')
    parts.append(f"algorithm={algorithm}")
    if "opaque" in challenge:
        parts.append(f'opaque="{challenge["opaque"]}"')
    return "Digest " + ", ".join(parts)


# SDP

@dataclasses.dataclass
class Offer:
    """What a platform wants: where media goes and how."""
    name: str = ""  # Play, Playback, Download, Talk
    host: str = ""
    port: int = 0
    transport: str = "udp"  # udp, passive (the platform listens), active (it connects)
    ssrc: str = ""
    times: str = ""
    source: str = ""


def read_offer(body, domain, faults):
    """The offer of an INVITE; None when it cannot be answered."""
    if re.search(rb"(?<!\r)\n|\r(?!\n)", body) or not body.endswith(b"\r\n"):
        faults.append("SDP: a line does not end in CR LF")
    lines = [line for line in body.decode("utf-8", "replace").split("\r\n") if line]
    fields = {}
    for line in lines:
        if line[1:2] != "=":
            faults.append(f"SDP: bad line {line!r}")
            continue
        fields.setdefault(line[0], []).append(line[2:])
    order = "".join(line[0] for line in lines)
    if not re.fullmatch(r"vosu?ct(b?)m[abc]*y?f?", order):
        faults.append(f"SDP: the lines stand in the order {order!r}")
    offer = Offer(
        name=fields.get("s", [""])[0], times=fields.get("t", [""])[0],
        source=fields.get("u", [""])[0], ssrc=fields.get("y", [""])[0],
    )
    if fields.get("v") != ["0"]:
        faults.append("SDP: no v=0")
    if not re.fullmatch(r"\d{20} \d+ \d+ IN IP4 \d+\.\d+\.\d+\.\d+", fields.get("o", [""])[0]):
        faults.append(f"SDP: bad o={fields.get('o')}")
    if offer.name not in ("Play", "Playback", "Download", "Talk"):
        faults.append(f"SDP: s={offer.name!r}")
    match = re.fullmatch(r"IN IP4 (\d+\.\d+\.\d+\.\d+)", fields.get("c", [""])[0])
    if not match:
        faults.append(f"SDP: bad c={fields.get('c')}")
        return None
    offer.host = match[1]
    if not re.fullmatch(r"\d+ \d+", offer.times):
        faults.append(f"SDP: bad t={offer.times!r}")
    elif (offer.name in ("Playback", "Download")) == (offer.times == "0 0"):
        faults.append(f"SDP: t={offer.times} with s={offer.name}")
    if offer.name in ("Playback", "Download") and not re.fullmatch(r"\d{20}:\d+", offer.source):
        faults.append(f"SDP: u={offer.source!r} with s={offer.name}")
    match = re.fullmatch(r"video (\d+) ((?:TCP/)?RTP/AVP)((?: \d+)+)", fields.get("m", [""])[0])
    if not match or len(fields["m"]) != 1:
        faults.append(f"SDP: bad m={fields.get('m')}")
        return None
    offer.port = int(match[1])
    attributes = fields.get("a", [])
    if "96" not in match[3].split():
        faults.append("SDP: payload type 96 is not offered")
    if "rtpmap:96 PS/90000" not in attributes:
        faults.append("SDP: a=rtpmap:96 PS/90000 is missing")
    mapped = {one.split(":")[1].split(" ")[0] for one in attributes if one.startswith("rtpmap:")}
    if mapped != set(match[3].split()):
        faults.append(f"SDP: m= lists{match[3]} but rtpmap is given for {' '.join(sorted(mapped))}")
    if "recvonly" not in attributes:
        faults.append("SDP: a=recvonly is missing")
    setup = [one.split(":")[1] for one in attributes if one.startswith("setup:")]
    if match[2].startswith("TCP/"):
        if setup not in (["passive"], ["active"]):
            faults.append(f"SDP: TCP with a=setup {setup}")
            return None
        offer.transport = setup[0]
        if "connection:new" not in attributes:
            faults.append("SDP: TCP without a=connection:new")
    elif setup:
        faults.append("SDP: a=setup without TCP")
    if not 0 < offer.port < 65536:
        faults.append(f"SDP: media port {offer.port}")
        return None
    if not re.fullmatch(r"\d{10}", offer.ssrc):
        faults.append(f"SDP: y={offer.ssrc!r} is not ten digits")
    else:
        if (offer.ssrc[0] == "1") != (offer.name in ("Playback", "Download")):
            faults.append(f"SDP: y={offer.ssrc} with s={offer.name}")
        if offer.ssrc[1:6] != domain[3:8]:
            faults.append(f"SDP: y={offer.ssrc}: digits 2-6 are not the domain's {domain[3:8]}")
        if int(offer.ssrc) > 0xFFFFFFFF:
            faults.append(f"SDP: y={offer.ssrc} does not fit an SSRC")
    return offer


def answer(offer, channel, host, port, ssrc, with_ssrc=True):
    """The answer to an offer: the device sends, from `port` or at its connection."""
    lines = ["v=0", f"o={channel} 0 0 IN IP4 {host}", f"s={offer.name or 'Play'}",
             f"c=IN IP4 {host}", f"t={offer.times or '0 0'}"]
    if offer.transport == "udp":
        lines += [f"m=video {port} RTP/AVP 96", "a=sendonly", "a=rtpmap:96 PS/90000"]
    else:
        setup = "active" if offer.transport == "passive" else "passive"
        lines += [f"m=video {port} TCP/RTP/AVP 96", "a=sendonly", "a=rtpmap:96 PS/90000",
                  f"a=setup:{setup}", "a=connection:new"]
    if with_ssrc:
        lines.append(f"y={ssrc}")
    lines.append("f=")
    return "".join(f"{line}\r\n" for line in lines).encode()
