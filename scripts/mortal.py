"""The upstreams of the soak whose streams die: over HTTP/1.1 and, with more ways to fail, over HTTP/2.

Each stream says in its content whether it will die, and keeps its word; so a client can tell whether it was told.
"""

import asyncio
import json
import random
import re
import socket
import struct
from collections import Counter

# How a stream may die, each with what it says before.
DEATHS = {
    "reset": b"",
    "end": b"",
    "cut": b"data: {\"choices\":[{\"ind",
    "garbage": b"data: <html>\n\n",
    "error": b"event: error\ndata: {\"message\":\"overloaded\"}\n\n",
    "code": b"data: {\"code\":500,\"message\":\"internal\"}\n\ndata: [DONE]\n\n",
}
# What may happen to a request over HTTP/2 before any answer, which a retry can make good.
DELAYS = ["refused", "reset early", "stalled", "farewell"]
# How often either happens.
SHARE = 0.3

# Of HTTP/2 (RFC 9113): frames, flags, and codes of errors.
DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_STREAMS = 3
NO_ERROR, INTERNAL, REFUSED = 0, 2, 7


def event(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


END = event({}, "stop") + b"data: [DONE]\n\n"


def whole():
    """Returns a whole answer, which also passes for a list of models."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "alive"}, "finish_reason": "stop"}
    return json.dumps({"object": "list", "data": [], "choices": [choice]}).encode()


class Mortal:
    """Over HTTP/1.1."""

    def __init__(self):
        self.rng = random.Random(1)
        self.done = Counter()

    async def start(self):
        """Listens on a free port; returns the base URL."""
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return "http://{}:{}/v1".format(*self.server.sockets[0].getsockname())

    def draw(self, fates):
        """Chooses one of these now and then, else nothing."""
        fate = self.rng.choice(list(fates)) if self.rng.random() < SHARE else None
        self.done[fate] += 1
        return fate

    async def serve(self, reader, writer):
        try:
            while await self.answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        asked = await reader.readexactly(int(length.group(1))) if length else b"{}"
        if not json.loads(asked).get("stream"):
            body = whole()
            kind = b"content-type: application/json\r\ncontent-length: "
            writer.write(b"HTTP/1.1 200 OK\r\n%b%d\r\n\r\n%b" % (kind, len(body), body))
            return True
        death = self.draw(DEATHS)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(self.rng.randint(1, 10)):
            self.write(writer, event({"content": "dies " if death else "lives "}))
            await writer.drain()
            await asyncio.sleep(0.01)
        if death is None:
            self.write(writer, END)
        elif DEATHS[death]:
            self.write(writer, DEATHS[death])
        if death == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if death in ("reset", "cut"):
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    @staticmethod
    def write(writer, data):
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))


class MortalHttp2(Mortal):
    """Over HTTP/2 in clear text, with few streams a connection. What is sent is read no further than to its frames:
    there is one kind of request."""

    STREAMS = 4

    async def serve(self, reader, writer):
        session = Session(writer)
        try:
            await reader.readexactly(24)
            session.say(SETTINGS, 0, 0, struct.pack(">HI", MAX_STREAMS, self.STREAMS))
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3]))
                self.take(session, head[3], head[4], int.from_bytes(head[5:]), payload)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            for answer in list(session.answers.values()):
                answer.cancel()
            writer.close()

    def take(self, session, kind, flags, stream, payload):
        """Takes a frame."""
        if kind in (SETTINGS, PING) and not flags & ACK:
            session.say(kind, ACK, 0, payload if kind == PING else b"")
        if kind == RESET and stream in session.answers:
            session.answers.pop(stream).cancel()
        if kind == DATA and payload:
            session.say(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload)))
        if kind not in (HEADERS, DATA) or stream > session.last:
            return
        session.asked[stream] = session.asked.get(stream, b"") + (payload if kind == DATA else b"")
        if flags & END_STREAM:
            asked = json.loads(session.asked.pop(stream) or b"{}")
            answer = asyncio.create_task(self.play(session, stream, asked))
            session.answers[stream] = answer
            answer.add_done_callback(lambda _: session.answers.pop(stream, None))

    async def play(self, session, stream, asked):
        if not asked.get("stream"):
            session.head(stream, b"application/json")
            return session.say(DATA, END_STREAM, stream, whole())
        delay = self.draw(DELAYS)
        if delay == "refused":
            return session.say(RESET, 0, stream, struct.pack(">I", REFUSED))
        if delay == "reset early":
            return session.say(RESET, 0, stream, struct.pack(">I", INTERNAL))
        if delay == "stalled":
            return await asyncio.sleep(3600)
        if delay == "farewell":
            session.farewell()
        death = self.draw(DEATHS)
        session.head(stream, b"text/event-stream")
        for _ in range(self.rng.randint(1, 10)):
            session.say(DATA, 0, stream, event({"content": "dies " if death else "lives "}))
            await asyncio.sleep(0.01)
        session.say(DATA, 0, stream, DEATHS[death] if death else END)
        if death in ("reset", "cut"):
            return session.say(RESET, 0, stream, struct.pack(">I", INTERNAL))
        session.say(DATA, END_STREAM, stream, b"")


class Session:
    """A connection of HTTP/2."""

    def __init__(self, writer):
        self.writer = writer
        # What has come of requests, and who answers them, by stream.
        self.asked, self.answers = {}, {}
        # The last stream that is begun.
        self.last = 2**31 - 1

    def say(self, kind, flags, stream, payload):
        self.writer.write(len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload)

    def head(self, stream, kind):
        """Says a head of status 200, which HPACK leaves in clear."""
        self.say(HEADERS, END_HEADERS, stream, b"\x88\x0f\x10" + bytes([len(kind)]) + kind)

    def farewell(self):
        """Begins nothing more; what has begun is finished."""
        self.last = min(self.last, max([*self.asked, *self.answers]))
        self.say(GO_AWAY, 0, 0, struct.pack(">II", self.last, NO_ERROR))
