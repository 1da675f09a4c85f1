"""The client's half of WebSocket (RFC 6455): the handshake, and messages."""

import base64
import hashlib
import os
import socket
import struct
import time
from urllib.parse import urlsplit

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_CONNECT_WITHIN_S = 10


class Closed(Exception):
    """The connection has ended; `code` is None where the server gave none."""

    def __init__(self, code, reason):
        super().__init__(f"the connection was closed with {code}: {reason}")
        self.code = code
        self.reason = reason


class WebSocket:
    """An open connection."""

    def __init__(self, url, headers=()):
        parts = urlsplit(url)
        if parts.scheme != "ws" or not parts.hostname:
            raise ValueError(f"{url!r} is no URL like ws://127.0.0.1:7777/counter/lobby")
        port = parts.port or 80
        self._socket = socket.create_connection((parts.hostname, port), _CONNECT_WITHIN_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._parts = []
        self._shake_hands(parts, dict(headers))

    def _shake_hands(self, parts, headers):
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, self._read = self._read.split(b"\r\n\r\n", 1)
        status, *rest = head.decode("latin-1").split("\r\n")
        if status.split()[1:2] != ["101"]:
            raise Closed(None, f"the handshake was answered with {status!r}")
        answer = {name.lower(): value.strip() for name, _, value in
                  (line.partition(":") for line in rest)}
        expected = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
        if answer.get("sec-websocket-accept") != expected:
            raise Closed(None, "the server did not understand the handshake")

    def _more(self):
        data = self._socket.recv(65536)
        if not data:
            raise Closed(None, "the connection was lost")
        self._read += data

    def send(self, message):
        """Sends a binary message."""
        self._send(_BINARY, message)

    def _send(self, opcode, payload):
        length = len(payload)
        if length <= 125:
            head = struct.pack(">BB", 0x80 | opcode, 0x80 | length)
        elif length <= 0xFFFF:
            head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._socket.sendall(head + mask + masked)

    def receive(self, until):
        """The next binary message; None when `until`, a time of `time.monotonic`, passes first."""
        while True:
            frame = self._take_frame()
            if frame is None:
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self._socket.settimeout(left)
                try:
                    self._more()
                except socket.timeout:
                    return None
                finally:
                    self._socket.settimeout(_CONNECT_WITHIN_S)
                continue
            message = self._handle(*frame)
            if message is not None:
                return message

    def _take_frame(self):
        """One WebSocket frame off the front of what was read, if there is a whole one."""
        data = self._read
        if len(data) < 2:
            return None
        length, at = data[1], 2
        if length >= 126:
            layout = ">H" if length == 126 else ">Q"
            at += struct.calcsize(layout)
            if len(data) < at:
                return None
            length = struct.unpack_from(layout, data, 2)[0]
        if len(data) < at + length:
            return None
        self._read = data[at + length:]
        return data[0] & 0x80, data[0] & 0x0F, data[at:at + length]

    def _handle(self, is_last, opcode, payload):
        if opcode == _CLOSE:
            code = struct.unpack_from(">H", payload)[0] if len(payload) >= 2 else None
            self.close(code or 1000)
            raise Closed(code, payload[2:].decode(errors="replace"))
        if opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _TEXT:
            raise Closed(None, "the server sent text; every message of the protocol is binary")
        elif opcode in (_BINARY, _CONTINUATION):
            self._parts.append(payload)
            if is_last:
                message, self._parts = b"".join(self._parts), []
                return message
        return None

    def close(self, code=1000):
        """Closes the connection; to lose it on purpose, too."""
        try:
            self._send(_CLOSE, struct.pack(">H", code))
        except OSError:
            pass  # it is gone already
        self._socket.close()
