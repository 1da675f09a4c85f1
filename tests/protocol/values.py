"""Values in blocks, in whole and as differences: PROTOCOL.md, section 12.

A form is how values of one type are told. `whole` and `difference` give a value's words, `end`
where the value ends that begins at a place of some words."""

import codec
import rotation
from codec import Fault, width

SPAN_BITS = 7
SPAN_MAX = (1 << SPAN_BITS) - 1
_CONTEXT, _CONTEXTS, _BITS = 16, 2560, 2604
_FAR, _MOVED = 80, 8
_SYMBOL_WIDTH = 3
_MISSES = ((1, 0), (2, 1), (4, 2), (6, 3), (8, 4), (32, 5), (256, 6))
_SIZES = ((1, 0), (2, 1), (4, 2), (8, 3), (16, 4), (32, 5), (64, 6), (128, 7), (256, 8))
_BESIDE = ((1, 2), (3, 3), (7, 4), (15, 5), (63, 6))


class Reading:
    """One value on its way: what it is read from, and what is known besides."""

    def __init__(self, decoder, before=0, ticks=0, hz=0, beside=0):
        self.decoder = decoder
        self.before = before
        self.ticks = ticks
        self.hz = hz
        # The velocity's words in older, base and now; None where there are none.
        self.speeds = None
        self.beside = beside
        self.left = 65_536

    def spend(self):
        """Before each value of a list or an array, and each word of a string."""
        self.decoder.check_more()
        if self.left == 0:
            raise Fault("a value is too long")
        self.left -= 1

    def up_to(self, most):
        """A raw number that must not be above this."""
        return _checked(self.decoder.raw(width(most)), most)


def _checked(word, most):
    if word > most:
        raise Fault(f"{word} is above {most}")
    return word


def _i64(value):
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def _trunc(a, b):
    return a // b if a >= 0 else -(-a // b)


def _class(value, classes):
    return next((number for below, number in classes if abs(value) < below), classes[-1][1] + 1)


class Unit:
    def end(self, words, at):
        return at

    def whole(self, reading):
        return []

    def difference(self, reading, older, old):
        return []


class Symbol:
    def __init__(self, most, nodes):
        self.most = most
        self.width = width(most)
        count = 1 << self.width
        self.first = nodes.even(count * (count + 1))

    def end(self, words, at):
        return at + 1

    def _tree(self, reading, first):
        return [_checked(reading.decoder.tree(first, self.width), self.most)]

    def whole(self, reading):
        return self._tree(reading, self.first)

    def difference(self, reading, older, old):
        return self._tree(reading, self.first + ((old[0] + 1) << self.width))


class Velocity:
    """A number that says how another one moves: its word, and what the word means."""

    def __init__(self, word, scale, offset):
        self.word = word
        self.scale = scale
        self.offset = offset

    def speed(self, words):
        return _i64(words[self.word] * self.scale + self.offset)


class Number:
    def __init__(self, most, nodes, wraps=False, is_linear=False):
        self.most = most
        self.wraps = wraps
        self.is_linear = is_linear
        self.velocity = None
        self.first = nodes.number()

    def end(self, words, at):
        return at + 1

    def is_plain_linear(self):
        return self.is_linear and not self.wraps and self.velocity is None

    def whole(self, reading):
        rest, word = width(self.most), 0
        for tree in (self.first + _BITS, self.first + _BITS + 16):
            few = min(rest, 4)
            rest -= few
            word = word << few | reading.decoder.tree(tree, few)
        return [_checked(word << rest | reading.decoder.raw(rest), self.most)]

    def way(self, start, to):
        if not self.wraps:
            return to - start
        way = (to - start) % self.most
        return way - self.most if way > self.most // 2 else way

    def place(self, at):
        return at % self.most if self.wraps else min(max(at, 0), self.most)

    def difference(self, reading, older, old, together=None):
        older, old = older[0], old[0]
        moved = self.way(older, old)
        if self.velocity is not None and self._flies(reading):
            at, context = self._fly(reading, moved, old)
            return [self.coded(reading, at, context, False)]
        at, size = old, moved
        if self.is_linear and self.velocity is None:
            way = moved
            if reading.before != reading.ticks:
                way = _trunc(moved * reading.ticks, max(reading.before, 1))
            at = self.place(old + way)
            size = moved if together is None else max(abs(moved), together >> 1)
        context = _MOVED * _class(size, _SIZES) + reading.beside
        return [self.coded(reading, at, context, moved < 0)]

    def _flies(self, reading):
        return reading.speeds is not None and self.velocity.word < len(reading.speeds[1])

    def _fly(self, reading, moved, old):
        before, was, now = map(self.velocity.speed, reading.speeds)

        def flown(start, to, ticks):
            twice = _i64(2 * ticks * start + (ticks + 1) * (to - start))
            return _trunc(twice, 2 * max(reading.hz, 1))

        off = _i64((moved << 16) - flown(before, was, reading.before))
        inside = _trunc(-off, 2) if abs(off) < 98304 else 0
        to = _i64((old << 16) + flown(was, now, reading.ticks) + inside)
        at = (to + 32768) >> 16
        part = (to - (at << 16) + 32768) >> 14
        return self.place(at), _MOVED * _class(abs(off) >> 14, _MISSES) + part

    def coded(self, reading, expected, context, flip):
        """The number, given where it is expected."""
        context += _FAR if reading.before + reading.ticks > 2 else 0
        decoder, node = reading.decoder, self.first + _CONTEXT * context
        if decoder.decide(node):
            reading.beside = max(reading.beside, 1)
            return expected
        is_below = decoder.decide(node + 1) != flip
        off = decoder.magnitude(node + 2, self.first + _CONTEXTS)
        reading.beside = max(reading.beside, _class(off, _BESIDE))
        to = expected - off - 1 if is_below else expected + off + 1
        word = self.place(to)
        if word != to and not self.wraps:
            raise Fault("a number leaves its range")
        return word


class Pair:
    def __init__(self, most, nodes):
        self.most = most
        self.first = nodes.even(2)

    def end(self, words, at):
        return at + 2

    def whole(self, reading):
        low = reading.decoder.raw(32)
        high = reading.decoder.raw(width(self.most >> 32))
        _checked(high << 32 | low, self.most)
        return [low, high]

    def difference(self, reading, older, old):
        return self.whole(reading) if reading.decoder.decide(self.first) else old


class Rotation:
    def __init__(self, bits, nodes):
        self.bits = bits
        self.first = nodes.even(20)
        self.number = Number((1 << bits) - 1, nodes)

    def end(self, words, at):
        return at + 4

    def whole(self, reading):
        words = [reading.decoder.raw(2)]
        for _ in range(3):
            words += self.number.whole(reading)
        return words

    def difference(self, reading, older, old):
        older, old = rotation.of_words(older, self.bits), rotation.of_words(old, self.bits)
        to = rotation.onward(older, old, reading.before, reading.ticks)
        largest = reading.decoder.tree(self.first + 4 * rotation.largest_of(to), 2)
        was_older, was, expected = (
            rotation.beside(quaternion, largest, self.bits) for quaternion in (older, old, to))
        moved = max(abs(a - b) for a, b in zip(was_older, was))
        words = [largest]
        for a, b, at in zip(was_older, was, expected):
            size = max(abs(b - a), moved >> 1)
            context = _MOVED * _class(size, _SIZES) + reading.beside
            words.append(self.number.coded(reading, at, context, b < a))
        return words


class Name:
    def __init__(self, nodes):
        self.first = nodes.even(2)

    def end(self, words, at):
        return at + 1

    def whole(self, reading):
        return [reading.decoder.raw(32) if reading.decoder.decide(self.first) else 0]

    def difference(self, reading, older, old):
        return self.whole(reading) if reading.decoder.decide(self.first + 1) else old


class Text:
    def __init__(self, most, nodes):
        self.most = most
        self.first = nodes.even(2)

    def end(self, words, at):
        return at + 1 + (words[at] + 3) // 4

    def whole(self, reading):
        words = [reading.up_to(self.most)]
        for start in range(0, words[0], 4):
            reading.spend()
            words.append(reading.decoder.raw(8 * min(words[0] - start, 4)))
        return words

    def difference(self, reading, older, old):
        return self.whole(reading) if reading.decoder.decide(self.first) else old


def _part(form, reading, older, old):
    """A part that is there now; None where it was not."""
    if old is None:
        return form.whole(reading)
    return form.difference(reading, old if older is None else older, old)


class Option:
    def __init__(self, kind, nodes, is_realtime):
        self.first = nodes.even(4)
        self.of = form(kind["of"], nodes, is_realtime)

    def end(self, words, at):
        return self.of.end(words, at + 1) if words[at] else at + 1

    def whole(self, reading):
        return [1, *self.of.whole(reading)] if reading.decoder.decide(self.first) else [0]

    def difference(self, reading, older, old):
        if not reading.decoder.decide(self.first + 1 + old[0]):
            return [0]
        older, old = (words[1:] if words[0] else None for words in (older, old))
        return [1, *_part(self.of, reading, older, old)]


class List:
    def __init__(self, kind, nodes, is_realtime):
        self.most = kind["max"]
        self.first = nodes.even(2)
        self.of = form(kind["of"], nodes, is_realtime)

    def end(self, words, at):
        count, at = words[at], at + 1
        for _ in range(count):
            at = self.of.end(words, at)
        return at

    def _items(self, words):
        return _split([self.of] * words[0], words[1:])

    def whole(self, reading):
        words = [reading.up_to(self.most)]
        for _ in range(words[0]):
            reading.spend()
            words += self.of.whole(reading)
        return words

    def difference(self, reading, older, old):
        is_new = reading.decoder.decide(self.first)
        words = [reading.up_to(self.most) if is_new else old[0]]
        older, old = self._items(older), self._items(old)
        for place in range(words[0]):
            reading.spend()
            known = (items[place] if place < len(items) else None for items in (older, old))
            words += _part(self.of, reading, *known)
        return words


def _split(forms, words):
    parts, at = [], 0
    for of in forms:
        end = of.end(words, at)
        parts.append(words[at:end])
        at = end
    return parts


class Parts:
    """A tuple or a struct."""

    def __init__(self, kinds, nodes, is_realtime):
        self.parts = [form(kind, nodes, is_realtime) for kind in kinds]

    def end(self, words, at):
        for part in self.parts:
            at = part.end(words, at)
        return at

    def whole(self, reading):
        return [word for part in self.parts for word in part.whole(reading)]

    def difference(self, reading, older, old):
        words = []
        move_together = all(
            isinstance(part, Number) and part.is_plain_linear() for part in self.parts)
        if move_together:
            together = max((abs(a - b) for a, b in zip(older, old)), default=0)
            for part, a, b in zip(self.parts, older, old):
                words += part.difference(reading, [a], [b], together)
            return words
        for part, a, b in zip(self.parts, _split(self.parts, older), _split(self.parts, old)):
            words += part.difference(reading, a, b)
        return words


class Array:
    def __init__(self, kind, nodes, is_realtime):
        self.length = kind["length"]
        self.of = form(kind["of"], nodes, is_realtime)

    def end(self, words, at):
        for _ in range(self.length):
            at = self.of.end(words, at)
        return at

    def whole(self, reading):
        words = []
        for _ in range(self.length):
            reading.spend()
            words += self.of.whole(reading)
        return words

    def difference(self, reading, older, old):
        words, forms = [], [self.of] * self.length
        for a, b in zip(_split(forms, older), _split(forms, old)):
            reading.spend()
            words += self.of.difference(reading, a, b)
        return words


class Enum:
    def __init__(self, kind, nodes, is_realtime):
        self.first = nodes.even(2)
        self.variants = [form(of["type"], nodes, is_realtime) for of in kind["variants"]]

    def end(self, words, at):
        return self.variants[words[at]].end(words, at + 1)

    def whole(self, reading):
        place = reading.up_to(len(self.variants) - 1)
        return [place, *self.variants[place].whole(reading)]

    def difference(self, reading, older, old):
        is_new = reading.decoder.decide(self.first)
        place = reading.up_to(len(self.variants) - 1) if is_new else old[0]
        older, old = (words[1:] if words[0] == place else None for words in (older, old))
        return [place, *_part(self.variants[place], reading, older, old)]


def form(kind, nodes, is_realtime):
    """How a type's values are told; takes the type's nodes."""
    name, most, pair = kind["kind"], codec.single(kind), codec.pair_most(kind)
    if name == "entity":
        return Name(nodes)
    if most is not None:
        if width(most) <= _SYMBOL_WIDTH:
            return Symbol(most, nodes)
        is_float = name == "float"
        return Number(most, nodes, bool(kind.get("wraps")), is_float and is_realtime)
    if pair is not None:
        return Pair(pair, nodes)
    if name == "unit":
        return Unit()
    if name == "rotation":
        return Rotation(kind["bits"], nodes)
    if name == "string":
        return Text(kind["max"], nodes)
    if name == "tuple":
        return Parts(kind["items"], nodes, is_realtime)
    if name == "struct":
        return Parts([field["type"] for field in kind["fields"]], nodes, is_realtime)
    made = {"option": Option, "list": List, "array": Array, "enum": Enum}.get(name)
    if made is None:
        raise Fault(f"no type is called {name!r}")
    return made(kind, nodes, is_realtime)


def moving(of, kind):
    """The forms of a type's floats, with their steps, through structs and tuples."""
    if kind["kind"] == "float":
        return [(of, kind["step"])]
    kinds = codec.parts_of(kind) or ()
    return [float for part, of in zip(kinds, getattr(of, "parts", ())) for float in moving(of, part)]
