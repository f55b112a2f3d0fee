"""MANSCDP, the XML in GB/T 28181's MESSAGEs: reads the platform's strictly, writes the device's."""
import re
import xml.etree.ElementTree as ElementTree
import xml.sax.saxutils

PTZ_MOVES = ("right", "left", "down", "up", "zoom_in", "zoom_out")  # bits 0-5 of byte 4
PRESETS = {0x81: "set", 0x82: "call", 0x83: "delete"}


def write(root, command, serial, target, inner, gbk=False):
    """A document; `gbk`: declared GB2312 though it is GBK, as real devices do."""
    declared, encoding = ("GB2312", "gb18030") if gbk else ("UTF-8", "utf-8")
    return (f'<?xml version="1.0" encoding="{declared}"?>\r\n<{root}>\r\n'
            f"<CmdType>{command}</CmdType>\r\n<SN>{serial}</SN>\r\n"
            f"<DeviceID>{target}</DeviceID>\r\n{inner}</{root}>\r\n").encode(encoding)


def elements(fields):
    return "".join(f"<{name}>{xml.sax.saxutils.escape(str(value))}</{name}>\r\n"
                   for name, value in fields.items())


def catalogue_item(device, channel, number, name):
    return "<Item>\r\n" + elements({
        "DeviceID": channel, "Name": name, "Manufacturer": "Simulated",
        "Model": "gb_device", "Owner": "Owner", "CivilCode": channel[:6],
        "Address": "Address", "Parental": 0, "ParentID": device, "SafetyWay": 0,
        "RegisterWay": 1, "Secrecy": 0, "Status": "ON",
        "Longitude": f"{116.3 + number / 1000:.4f}", "Latitude": "39.9000",
    }) + "</Item>\r\n"


def record_item(channel, name, start, length):
    return "<Item>\r\n" + elements({
        "DeviceID": channel, "Name": name, "FilePath": "/" + start.isoformat(),
        "Address": "Address", "StartTime": start.isoformat(),
        "EndTime": (start + length).isoformat(), "Secrecy": 0, "Type": "time",
        "RecorderID": channel, "FileSize": 1_000_000,
    }) + "</Item>\r\n"


def read(body, faults):
    """The root's name and its children's texts; (None, {}) when it is not to be read."""
    match = re.match(rb'\s*<\?xml[^>]*?(?:encoding\s*=\s*["\']([\w.-]+)["\'][^>]*)?\?>', body)
    declared = match[1].decode() if match and match[1] else "UTF-8"
    encoding = "gb18030" if declared.upper() in ("GB2312", "GBK", "GB18030") else declared
    try:
        text = body[match.end() if match else 0:].decode(encoding)
        root = ElementTree.fromstring(text.strip())
    except (UnicodeDecodeError, LookupError, ElementTree.ParseError) as problem:
        faults.append(f"bad XML: {problem}")
        return None, {}
    fields = {child.tag: (child.text or "").strip() for child in root}
    if not match:
        faults.append("no XML declaration")
    if root.tag not in ("Query", "Control", "Notify", "Response"):
        faults.append(f"XML root {root.tag}")
    if not fields.get("CmdType"):
        faults.append("no CmdType")
    if not fields.get("SN", "").isdigit() or int(fields["SN"]) < 1:
        faults.append(f"SN {fields.get('SN')!r}")
    if not re.fullmatch(r"\d{20}", fields.get("DeviceID", "")):
        faults.append(f"DeviceID {fields.get('DeviceID')!r}")
    return root.tag, fields


def read_ptz(text, faults):
    """What a PTZCmd says."""
    if not re.fullmatch(r"[0-9A-Fa-f]{16}", text):
        faults.append(f"PTZCmd {text!r} is not 8 bytes in hex")
        return {}
    command = bytes.fromhex(text)
    if command[0] != 0xA5:
        faults.append(f"PTZCmd {text} does not begin with A5")
    if command[1] & 0xF != (0xA + 0x5 + (command[1] >> 4)) % 16:
        faults.append(f"PTZCmd {text}: wrong check nibble")
    if command[7] != sum(command[:7]) % 256:
        faults.append(f"PTZCmd {text}: wrong sum")
    code = command[3]
    if code in PRESETS:
        return {"preset": PRESETS[code], "number": command[5]}
    if code >= 0x40:
        return {"code": code}
    moves = [name for bit, name in enumerate(PTZ_MOVES) if code >> bit & 1]
    if {"left", "right"} <= set(moves) or {"up", "down"} <= set(moves):
        faults.append(f"PTZCmd {text} moves {moves}")
    return {"moves": moves, "pan": command[4], "tilt": command[5], "zoom": command[6] >> 4}
