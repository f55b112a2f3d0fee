"""Saves the binary messages of a WebSocket: save_websocket.py URL FILE."""
import ssl
import sys

import websocket

url, path = sys.argv[1:3]
socket = websocket.create_connection(
    url, timeout=30, sslopt={"cert_reqs": ssl.CERT_NONE}, enable_multithread=False
)
socket.ping("are you there?")
pongs = 0
with open(path, "wb") as file:
    while True:
        opcode, data = socket.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_BINARY:
            file.write(data)
        elif opcode == websocket.ABNF.OPCODE_PONG:
            pongs += data == b"are you there?"
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            break
assert pongs == 1, f"{pongs} pongs"
