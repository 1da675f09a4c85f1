#!/usr/bin/env python3
"""A client of a Referee server, made from PROTOCOL.md alone.

    python3 tests/protocol/client.py ws://127.0.0.1:7777/counter/x --press 3 --expect Count=3
"""

import argparse
import collections
import json
import sys
import time

import codec
import msgpack
from codec import Bytes, Fault, write_varint
from state import State, is_full
from websocket import Closed, WebSocket

VERSION = 1
CONTROL, STATE, EVENTS, INPUT, ACTION, ACK, SCHEMA = range(7)
# The bits of a first byte that say the lane.
LANE = 7
CLOSE_CODES_FROM = 4000

# Half of what PROTOCOL.md allows, so that the server never waits for an acknowledgement.
ACK_EVERY_FRAMES = 2
ACK_EVERY_S = 0.1
PING_EVERY_S = 2.0
SILENCE_S = 4.0
WELCOME_WITHIN_S = 10.0


class Refused(Exception):
    """The server refused the client, or ended its connection, with a code."""

    def __init__(self, code, message):
        super().__init__(f"refused with code {code}: {message}")
        self.code = code


class Timeout(Exception):
    """What was waited for did not come."""


class Client:
    """One player's stay in one match. `connect` may be called again after a connection ended: what
    is known and not applied is kept."""

    def __init__(self, url, name="", watch=False, params=None, headers=(), check=False):
        self.url = url
        self.hello = {"versions": [VERSION], "name": name}
        if watch:
            self.hello["watch"] = True
        if check:
            self.hello["check"] = True
        if params is not None:
            self.hello["params"] = json.dumps(params)
        self.headers = headers
        self.welcome = None
        self.schema = None
        self.schema_body = None
        self.schema_hash = None
        self.state = None
        self.known = None
        self.actions = []
        self.applied = 0
        self.events = []
        self.held = []
        self.received_event = 0
        self.result = None
        self.fulls = []
        # How many of each kind of block came, and how many states were as `Check` said.
        self.kinds = collections.Counter()
        self.checked = 0

    def connect(self, resume=True):
        """Opens a connection and waits for its first state."""
        self.socket = WebSocket(self.url, self.headers)
        self.frames = self.acked_frames = self.sample = self.nonce = 0
        self.ack_due = self.ping_due = self.unanswered = None
        is_back = self.welcome is not None and self.welcome["token"] is not None
        hello = dict(self.hello)
        if self.schema_hash is not None:
            hello["schema"] = self.schema_hash
        if is_back and "watch" not in hello:
            hello["token"] = self.welcome["token"]
            if resume and self.known:
                hello["resume"] = self.known
        self.may_resume = "resume" in hello
        self.welcome = None
        self._control({"Hello": hello})
        self.wait(lambda: self.frames > 0, "the first state", WELCOME_WITHIN_S)
        return self

    def wait(self, holds, what, seconds=10.0):
        """Takes what comes until `holds()` does."""
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until:
                raise Timeout(f"{what} did not come within {seconds:g} s")
            self._take(min(until, self._next_due()))

    def listen(self, seconds):
        """Takes what comes within a time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._take(min(until, self._next_due()))

    def wait_resource(self, name, value):
        """Waits until a resource has a value."""
        def holds():
            return self.state.resource(name) == value
        try:
            self.wait(holds, f"{name} = {value!r}")
        except Timeout as timeout:
            raise Timeout(f"{timeout}; it is {self.state.resource(name)!r}") from None

    def act(self, name, value=None):
        """Does an action."""
        number = self.applied + len(self.actions) + 1
        self.actions.append((name, value))
        self._send_action(number, name, value)

    def input(self, name, value, tick=0):
        """Sends a sample of an input."""
        place, kind = self._type("inputs", name)
        self.sample += 1
        numbers = [*self._take_ack(), self.sample, tick, place]
        sample = codec.write_value(kind, value)
        self.socket.send(bytes([INPUT]) + b"".join(map(write_varint, numbers)) + sample)

    def leave(self):
        """Gives up the seat; the answer is a refusal."""
        self._control("Leave")

    def drop(self):
        """Loses the connection."""
        self.socket.close()

    def me(self):
        """The player's own entity."""
        for entity in self.state.entities().values():
            if entity.get("Player", {}).get("seat") == self.welcome["seat"]:
                return entity
        return None

    def _type(self, what, name):
        types = self.schema[what]
        names = [of["name"] for of in types]
        if name not in names:
            raise Fault(f"{name} is none of the game's {what}: {', '.join(names) or 'it has none'}")
        return names.index(name), types[names.index(name)]["type"]

    def _send_action(self, number, name, value):
        place, kind = self._type("actions", name)
        head = write_varint(number) + write_varint(place)
        self.socket.send(bytes([ACTION]) + head + codec.write_value(kind, value))

    def _control(self, message):
        self.socket.send(bytes([CONTROL]) + msgpack.encode(message))

    def _next_due(self):
        return min(due for due in (self.ack_due, self.ping_due, float("inf")) if due is not None)

    def _take(self, until):
        """Takes one message, or does what is due."""
        try:
            message = self.socket.receive(until)
        except Closed as closed:
            if closed.code is not None and closed.code > CLOSE_CODES_FROM:
                raise Refused(closed.code - CLOSE_CODES_FROM, closed.reason) from None
            raise
        if message is not None:
            self.unanswered = None
            self._frame(message)
        self._do_due(time.monotonic())

    def _do_due(self, now):
        if self.unanswered is not None and now > self.unanswered + SILENCE_S:
            raise Closed(None, "the server fell silent")
        if self.ping_due is not None and now >= self.ping_due:
            self.nonce += 1
            self.ping_due = now + PING_EVERY_S
            self.unanswered = self.unanswered or now
            self._control({"Ping": {"nonce": self.nonce}})
        if self.ack_due is not None and now >= self.ack_due:
            self.socket.send(bytes([ACK]) + b"".join(map(write_varint, self._take_ack())))

    def _take_ack(self):
        self.ack_due = None
        self.acked_frames = self.frames
        return self.frames, self.received_event

    def _received(self):
        now = time.monotonic()
        is_urgent = self.frames - self.acked_frames >= ACK_EVERY_FRAMES
        due = now if is_urgent else now + ACK_EVERY_S
        self.ack_due = due if self.ack_due is None else min(self.ack_due, due)

    def _frame(self, frame):
        self._body(frame[0], Bytes(frame))

    def _body(self, first, body):
        lane = STATE if first & LANE == STATE else first
        if lane != STATE:
            body.u8()
        if lane == CONTROL:
            self._said(msgpack.decode(body.rest()))
        elif self.welcome is None:
            raise Fault(f"a frame on lane {lane} came before Welcome")
        elif lane == SCHEMA:
            self.schema_body = body.rest()
            self.schema = msgpack.decode(self.schema_body)
            self.schema_hash = self.welcome["schema"]
        elif lane == STATE:
            self._state(body.rest())
        elif lane == EVENTS:
            self._events(body)
        else:
            raise Fault(f"lane {lane} does not lead to a client")

    def _said(self, message):
        (name, fields), = message.items()
        if name == "Refused":
            self.socket.close()
            raise Refused(fields["code"], fields["message"])
        if name == "Ended":
            self.result = json.loads(fields["result"])
        elif name == "Welcome":
            self._welcomed(fields)
        elif name == "Check":
            if fields["hash"] != self.state.hash():
                raise Fault(f"the state of tick {self.state.tick} is not what the room shows")
            self.checked += 1
        elif name != "Pong":
            raise Fault(f"there is no message {name}")

    def _welcomed(self, welcome):
        self.welcome = welcome
        if welcome["version"] != VERSION:
            raise Fault(f"the server speaks version {welcome['version']}")
        in_same_life = (welcome["resumed"] and self.known is not None
                        and self.known["incarnation"] == welcome["incarnation"])
        had = self.known["event"] if in_same_life else 0
        self.received_event = max(had, welcome["last_event"])
        # Another life of the room may go on from what the client knows; its first frame says whether.
        known_schema = welcome.get("schema", self.schema_hash) == self.schema_hash
        self.may_resume = self.may_resume and welcome["resumed"] and known_schema
        self.held = []
        applied = welcome["last_action"]
        # After a crash the room may know less than before: then nothing more is applied.
        more = max(0, applied - self.applied)
        self.actions = self.actions[more:] if welcome["resumed"] else []
        self.applied = applied
        if "ended" in welcome:
            self.result = json.loads(welcome["ended"])
        self.ping_due = time.monotonic()

    def _state(self, body):
        is_first = self.frames == 0
        if is_first and not self.may_resume:
            if not is_full(body):
                raise Fault("the first state is not full")
            self.state = State(self.schema, self.schema_body, self.welcome["hz"])
        prelude = self.state.apply(body)
        self.frames += 1
        self.fulls.append(prelude["full"])
        self.kinds.update(self.state.kinds)
        if prelude["action"] is not None:
            more = (prelude["action"] - self.applied) & 0xFFFF
            self.applied += more
            del self.actions[:more]
        if is_first:
            for number, (name, value) in enumerate(self.actions, self.applied + 1):
                self._send_action(number, name, value)
        self._deliver()
        self._received()
        self._note_known()

    def _note_known(self):
        incarnation = self.welcome["incarnation"]
        self.known = {"incarnation": incarnation, "tick": self.state.tick,
                      "event": self.received_event}

    def _events(self, body):
        number, tick = body.varint(), body.varint()
        while not body.is_empty():
            place, length = body.varint(), body.varint()
            of = self.schema["events"][place]
            value = codec.read_value(of["type"], body.take(length))
            expected = self.received_event + len(self.held) + 1
            if number > expected:
                raise Fault(f"event {number} came where {expected} was due")
            if number == expected:
                self.held.append((tick, of["name"], value))
            number += 1
        if self.frames > 0:
            self._deliver()
            self._received()
            self._note_known()

    def _deliver(self):
        while self.held and self.held[0][0] <= self.state.tick:
            self.events.append(self.held.pop(0))
            self.received_event += 1


def _arguments():
    parser = argparse.ArgumentParser(description="Plays in a match and shows what it sees.")
    parser.add_argument("url", help="ws://HOST:PORT/GAME/MATCH")
    parser.add_argument("--name", default="", help="the player's name")
    parser.add_argument("--watch", action="store_true", help="take no seat")
    parser.add_argument("--press", type=int, default=0, metavar="N", help="do N times Press")
    parser.add_argument("--act", action="append", default=[], metavar="NAME[=JSON]",
                        help="do an action; may be given more than once")
    parser.add_argument("--expect", action="append", default=[], metavar="NAME=JSON",
                        help="wait until a resource has this value; may be given more than once")
    return parser.parse_args()


def main():
    arguments = _arguments()
    try:
        client = Client(arguments.url, arguments.name, arguments.watch).connect()
        for act in ["Press"] * arguments.press + arguments.act:
            name, _, value = act.partition("=")
            client.act(name, json.loads(value) if value else None)
        client.wait(lambda: not client.actions, "the end of the last action")
        for expected in arguments.expect:
            name, _, value = expected.partition("=")
            client.wait_resource(name, json.loads(value))
    except (Closed, Fault, OSError, Refused, Timeout) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for entity, components in sorted(client.state.entities().items()):
        print("room" if entity == 0 else f"entity {entity}", json.dumps(components))
    client.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
