# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 client, plain or over TLS, that notes when each piece of an answer arrived. One connection; requests one
after another."""
import dataclasses
import json
import socket
import ssl
import time


@dataclasses.dataclass
class Event:
    """One server-sent event; `time` is when its last byte was here, in Unix nanoseconds."""
    time: int
    data: str

    def json(self):
        return json.loads(self.data)


@dataclasses.dataclass
class Reply:
    client_port: int
    server_port: int
    number: int  # of the request in its connection, from 0
    connected: int  # Unix nanoseconds, as all times here: when the connection was begun
    begin: int
    end: int = 0
    status: int = 0
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    events: list = dataclasses.field(default_factory=list)

    def json(self):
        return json.loads(self.body)

    def messages(self):
        """The JSON objects of the answer: of each event, or the body."""
        return [event.json() for event in self.events if event.data != "[DONE]"] if self.events else [self.json()]

    def last(self, key):
        """The last value of `key` in any message."""
        return next((message[key] for message in reversed(self.messages()) if message.get(key)), None)

    def token_events(self):
        """Events that carry text, in the shapes of /v1/chat/completions and /completion."""
        return [event for event in self.events if event.data != "[DONE]" and _text(event.json())]


def _text(message):
    choices = message.get("choices")
    if choices is None:
        return message.get("content")
    return choices[0].get("delta", {}).get("content") if choices else None


class Cancelled(Exception):
    pass


def unverified():
    """The servers of tests have certificates of their own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    def __init__(self, host, port, timeout=120, tls=False, receive_buffer=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(timeout)
        self._connected = time.time_ns()
        self._socket.connect((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self._socket = unverified().wrap_socket(self._socket)
        self._host, self._port, self._number, self._rest = host, port, 0, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    @property
    def port(self):
        return self._socket.getsockname()[1]

    def post(self, path, body, headers=None, **options):
        return self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers,
                            **options)

    def get(self, path, headers=None):
        return self.request("GET", path, b"", headers)

    def chat(self, text="one two three", headers=None, cancel_after=None, silence=0, **fields):
        """POST /v1/chat/completions with these fields in its body."""
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, "ignore_eos": True, **fields}
        if body.get("stream"):
            body.setdefault("stream_options", {"include_usage": True})
        return self.post("/v1/chat/completions", body, headers, cancel_after=cancel_after, silence=silence)

    def request(self, method, path, body=b"", headers=None, cancel_after=None, pause=0, silence=0):
        """`cancel_after` so many events the connection is closed; `pause` seconds are waited after each 64 KiB sent, and
        `silence` seconds before anything is read."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        reply = Reply(self.port, self._port, self._number, self._connected, time.time_ns())
        self._number += 1
        message = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        for begin in range(0, len(message), 65536) if pause else (0,):
            self._socket.sendall(message[begin:begin + 65536] if pause else message)
            time.sleep(pause)
        time.sleep(silence)
        try:
            self._read(reply, cancel_after)
        except Cancelled:
            self.close()
        reply.end = time.time_ns()
        return reply

    def _more(self):
        data = self._socket.recv(65536)
        self._now = time.time_ns()
        if not data:
            raise ConnectionError("the server closed the connection")
        self._rest += data

    def _line(self):
        while b"\r\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _exactly(self, count):
        while len(self._rest) < count:
            self._more()
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def _read(self, reply, cancel_after):
        reply.status = int(self._line().split()[1])
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            reply.headers[name.lower()] = value.strip()
        is_stream = reply.headers.get("content-type", "").startswith("text/event-stream")
        pending = b""
        for data in self._body(reply):
            reply.body += data
            if not is_stream:
                continue
            pending += data
            while b"\n\n" in pending:
                block, _, pending = pending.partition(b"\n\n")
                lines = [line[5:].strip() for line in block.decode().split("\n") if line.startswith("data:")]
                if lines:
                    reply.events.append(Event(self._now, "\n".join(lines)))
                if cancel_after is not None and len(reply.events) >= cancel_after:
                    raise Cancelled

    def _body(self, reply):
        if reply.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                yield self._exactly(size)
                self._exactly(2)
            while self._line():
                pass  # trailers
        elif "content-length" in reply.headers:
            yield self._exactly(int(reply.headers["content-length"]))
        elif reply.status not in (204, 304):
            try:
                while True:
                    yield self._exactly(max(len(self._rest), 1))
            except ConnectionError:
                return
