"""Which nodes a game has, and in which order its components are told: PROTOCOL.md, section 11."""

import codec
import msgpack
import values
import xxh3
from codec import Bytes, Fault
from decisions import LENGTH_NODES, MAGNITUDE_BITS

EVEN = 32768
_CODEC_VERSION = b"\x05"
_NO_MESSAGES = bytes.fromhex("a6696e7075747390a7616374696f6e7390a66576656e747390")
_LONGER = (
    64225, 64225, 64225, 64225, 64225, 64225, 64225, 64225, 64225, 64225, 63793, 62428, 60085,
    56240, 50366, 42314, 32768, 23222, 15170, 9296, 5451, 3108, 1743, 1311, 1311, 1311, 1311, 1311,
    1311, 1311, 1311, 1311, 1311,
)
# About how long a difference is: near and far, by how a number moved and by the number beside it.
_ABOUT = (((5, 1, 2, 3, 4, 5, 6, 7, 8, 9), (0, 0, 1, 3, 5, 6, 8, 10)),
          ((5, 2, 3, 5, 6, 9, 9, 10, 12, 14), (2, 2, 3, 4, 6, 7, 8, 11)))
_EXPECTED = (32768, 27525, 22282, 18350, 13107, 9175, 6554, 5243, 3932, 3277, 1966, 1311)
_STILL = (39322, 26214)
_FLYING = (1, 1, 1, 2, 3, 5, 9, 9, 9, 9)
_SPAN_LIMIT = (1 << 63) - 1

# The frame's nodes.
TRAFFIC, RECOMPOSED, NEW, WHOLE, ACTIVE = 0, 1, 2, 3, 4
HIDDEN = NEW
RENAMED, REMOVED, ENTERED, STIRRED, GAP, ID, OLD = (6 + 58 * n for n in range(7))
APART = OLD + 1
# A component's own nodes.
CHANGED, GIVEN, KEPT, TOLD = 0, 8, 10, 11


class Nodes:
    """All nodes of a game, as a block begins with them."""

    def __init__(self):
        self.chances = []
        self.sure = []

    def take(self, chances, sure=0):
        """Adds nodes; gives the number of the first."""
        first = len(self.chances)
        for chance in chances:
            self.chances.append(min(max(chance, 16), 65520))
            self.sure.append(sure)
        return first

    def even(self, count):
        return self.take([EVEN] * count)

    def lengths(self, about, sure):
        chances = [_LONGER[min(2 * at + 17 - about, 32)] for at in range(LENGTH_NODES)]
        return self.take(chances, sure)

    def number(self):
        """The nodes of a number."""
        first = len(self.chances)
        for by_moved, by_beside in _ABOUT:
            for moved, least in enumerate(by_moved):
                for beside, other in enumerate(by_beside):
                    about = max(least, other)
                    expected = _EXPECTED[min(about, 11)] if moved else _STILL[beside > 1]
                    self.context(expected, about)
        self.even(MAGNITUDE_BITS + 32)
        return first

    def context(self, expected, about):
        self.take([expected])
        self.take([EVEN], 1)
        self.lengths(about, 0)

    def fly(self, first):
        """The nodes of a number that moves by a velocity."""
        flying = Nodes()
        for _ in _ABOUT:
            for off, about in enumerate(_FLYING):
                for part in range(8):
                    expected = 19661 if off > 2 else 49152 if part in (1, 2) else 39322
                    flying.context(expected, about)
        end = first + len(flying.chances)
        self.chances[first:end], self.sure[first:end] = flying.chances, flying.sure

    def frame(self):
        self.take([19661, 655, 1311, EVEN], 2)
        self.take([58982, 58982], 3)
        for about in (1, 2, 2, 3, 6, 16):
            self.lengths(about, 1)
            self.even(MAGNITUDE_BITS)
        self.even(2)

    def apply(self, runs):
        """Sets what a schema's tables know."""
        source, at = Bytes(runs), 0
        try:
            while not source.is_empty():
                at, count = at + source.varint(), source.varint()
                for _ in range(count):
                    if at >= len(self.chances):
                        return
                    word = source.u16()
                    self.chances[at] = min(max(word & 0xFFF0, 16), 65520)
                    self.sure[at] = min(word & 0xF, 7)
                    at += 1
        except Fault:
            return


class Component:
    """How one component is told."""

    def __init__(self, of, nodes):
        still, moved, sure = (655, 6554, 3) if of.get("rarely") else (9830, 52429, 1)
        self.first = nodes.take([moved if at & 1 else still for at in range(8)], sure)
        nodes.take([EVEN, EVEN, 58982, EVEN])
        self.form = None
        self.moves_by = of.get("moves_by")


class Plan:
    """How the state of a game is told. `body` is that of the Schema frame."""

    def __init__(self, schema, body, hz):
        self.hz = hz
        is_realtime = schema["kind"] == "realtime"
        self.nodes = nodes = Nodes()
        nodes.frame()
        self.components = []
        for of in schema["components"]:
            component = Component(of, nodes)
            component.form = values.form(of["type"], nodes, is_realtime)
            self.components.append(component)
        self.order = sorted(range(len(self.components)), key=self._depth)
        for component, of in zip(self.components, schema["components"]):
            if not is_realtime:
                component.moves_by = None
            if component.moves_by is not None:
                by = schema["components"][component.moves_by]["type"]
                _set_velocity(component.form, of["type"], by, nodes)
        tables = schema.get("tables", b"")
        if tables and tables[:4] == layout(body):
            nodes.apply(tables[4:])

    def _depth(self, number):
        depth, by = 0, self.components[number].moves_by
        while by is not None:
            depth, by = depth + 1, self.components[by].moves_by
            if depth > len(self.components):
                raise Fault("a component moves by itself")
        return depth


def layout(body):
    """What tables must begin with, to be for these types."""
    end = msgpack.end_of_fields(body, ("kind", "components"))
    data = _CODEC_VERSION + b"\x85" + body[1:end] + _NO_MESSAGES
    return (xxh3.digest(data) & 0xFFFFFFFF).to_bytes(4, "little")


def _set_velocity(form, moves, by, nodes):
    for (number, step), (speed, word) in zip(values.moving(form, moves), _floats(by, 0)[0]):
        if word is None or not isinstance(number, values.Number):
            continue
        scale, offset = (codec.round_away(value / step * 65536)
                         for value in (speed["step"], speed["min"]))
        number.velocity = values.Velocity(word, _limited(scale), _limited(offset))
        nodes.fly(number.first)


def _limited(value):
    return min(max(value, -_SPAN_LIMIT - 1), _SPAN_LIMIT)


def _floats(kind, at):
    """The floats of a velocity that begins at this word, each with its own word, None where that depends
    on the value; and the word behind it."""
    if kind["kind"] == "float":
        return [(kind, at)], None if at is None else at + 1
    if kind["kind"] not in ("tuple", "struct"):
        size = codec.size(kind)
        return [], None if at is None or size is None else at + size
    found = []
    for part in codec.parts_of(kind):
        more, at = _floats(part, at)
        found += more
    return found, at
