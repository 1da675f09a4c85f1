"""Numbers, bits and values: PROTOCOL.md, sections 3 and 8."""

import math
import struct

import rotation

WORD_MAX = 0xFFFFFFFF


class Fault(ValueError):
    """What came follows no rule of the protocol."""


def write_varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Bytes:
    """Reads bytes from the front."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def is_empty(self):
        return self.at >= len(self.data)

    def take(self, count):
        if self.at + count > len(self.data):
            raise Fault("the bytes end early")
        self.at += count
        return self.data[self.at - count:self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def peek(self):
        """All that is left, without taking it."""
        return self.data[self.at:]

    def u8(self):
        return self.take(1)[0]

    def i8(self):
        return struct.unpack("b", self.take(1))[0]

    def u16(self):
        return int.from_bytes(self.take(2), "little")

    def varint(self):
        value = 0
        for place in range(10):
            byte = self.u8()
            if (byte == 0 and place > 0) or (place == 9 and byte > 1):
                break
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise Fault("a number is too long")


class BitReader:
    """Reads bits out of bytes, from the place where those stand."""

    def __init__(self, source):
        self.source = source
        self.left = 0
        self.pending = 0

    def bits(self, count):
        while self.left < count:
            self.pending |= self.source.u8() << self.left
            self.left += 8
        value = self.pending & ((1 << count) - 1)
        self.pending >>= count
        self.left -= count
        return value

    def finish(self):
        if self.pending:
            raise Fault("the padding is not zero")


class BitWriter:
    """Collects bits."""

    def __init__(self):
        self.value = 0
        self.count = 0

    def bits(self, value, count):
        if value >> count:
            raise Fault(f"{value} does not fit {count} bits")
        self.value |= value << self.count
        self.count += count

    def to_bytes(self):
        return self.value.to_bytes((self.count + 7) // 8, "little")


def width(most):
    return most.bit_length()


def round_away(value):
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def steps(kind):
    return min(max(round_away((kind["max"] - kind["min"]) / kind["step"]), 0), WORD_MAX)


def single(kind):
    """The largest word of a type that is always one word; None for other types."""
    name = kind["kind"]
    if name == "bool":
        return 1
    if name == "int" and kind["span"] <= WORD_MAX:
        return kind["span"]
    if name == "float":
        return steps(kind)
    return WORD_MAX if name in ("f32", "entity") else None


def pair_most(kind):
    """The largest pair of a type that is always two words; None for other types."""
    if kind["kind"] == "f64":
        return (1 << 64) - 1
    return kind["span"] if kind["kind"] == "int" and kind["span"] > WORD_MAX else None


def parts_of(kind):
    """The types of the parts of a type whose values all have the same parts; else None."""
    name = kind["kind"]
    if name == "array":
        return [kind["of"]] * kind["length"]
    if name == "tuple":
        return kind["items"]
    return [field["type"] for field in kind["fields"]] if name == "struct" else None


def size(kind):
    """How many words a type's values take; None where that depends on the value."""
    if kind["kind"] == "unit":
        return 0
    if single(kind) is not None:
        return 1
    if pair_most(kind) is not None:
        return 2
    if kind["kind"] == "rotation":
        return 4
    if kind["kind"] == "array":
        one = size(kind["of"])
        return None if one is None else one * kind["length"]
    sizes = [None] if parts_of(kind) is None else [size(part) for part in parts_of(kind)]
    return None if None in sizes else sum(sizes)


def _up_to(reader, most):
    value = reader.bits(width(most))
    if value > most:
        raise Fault(f"{value} is above {most}")
    return value


def read(kind, reader, out):
    """Reads a value in full and appends its words."""
    name, most, pair, parts = kind["kind"], single(kind), pair_most(kind), parts_of(kind)
    if most is not None:
        out.append(_up_to(reader, most))
    elif pair is not None:
        low = reader.bits(32)
        high = reader.bits(width(pair >> 32))
        if high << 32 | low > pair:
            raise Fault("a number is out of its range")
        out += [low, high]
    elif parts is not None:
        for part in parts:
            read(part, reader, out)
    elif name == "string":
        length = _up_to(reader, kind["max"])
        text = bytes(reader.bits(8) for _ in range(length))
        out += _string_words(text)
    elif name == "option":
        out.append(reader.bits(1))
        if out[-1]:
            read(kind["of"], reader, out)
    elif name == "list":
        length = _up_to(reader, kind["max"])
        out.append(length)
        for _ in range(length):
            read(kind["of"], reader, out)
    elif name == "enum":
        place = _up_to(reader, len(kind["variants"]) - 1)
        out.append(place)
        read(kind["variants"][place]["type"], reader, out)
    elif name == "rotation":
        out.append(reader.bits(2))
        out += [reader.bits(kind["bits"]) for _ in range(3)]
    elif name != "unit":
        raise Fault(f"no type is called {name!r}")


def _string_words(text):
    filled = text + bytes(-len(text) % 4)
    return [len(text), *struct.unpack(f"<{len(filled) // 4}I", filled)]


def write(kind, words, writer):
    """Writes the value at the front of the iterator `words` in full."""
    name, most, pair, parts = kind["kind"], single(kind), pair_most(kind), parts_of(kind)
    if most is not None:
        writer.bits(next(words), width(most))
    elif pair is not None:
        writer.bits(next(words), 32)
        writer.bits(next(words), width(pair >> 32))
    elif parts is not None:
        for part in parts:
            write(part, words, writer)
    elif name == "string":
        length = next(words)
        writer.bits(length, width(kind["max"]))
        packed = b"".join(next(words).to_bytes(4, "little") for _ in range((length + 3) // 4))
        for byte in packed[:length]:
            writer.bits(byte, 8)
    elif name == "option":
        some = next(words)
        writer.bits(some, 1)
        if some:
            write(kind["of"], words, writer)
    elif name == "list":
        length = next(words)
        writer.bits(length, width(kind["max"]))
        for _ in range(length):
            write(kind["of"], words, writer)
    elif name == "enum":
        place = next(words)
        writer.bits(place, width(len(kind["variants"]) - 1))
        write(kind["variants"][place]["type"], words, writer)
    elif name == "rotation":
        writer.bits(next(words), 2)
        for _ in range(3):
            writer.bits(next(words), kind["bits"])


def value_of(kind, words):
    """The value that the iterator `words` begins with, as JSON would have it. An entity is its
    wire id."""
    name = kind["kind"]
    if name == "unit":
        return None
    if name == "struct":
        return {field["name"]: value_of(field["type"], words) for field in kind["fields"]}
    if name in ("array", "tuple"):
        return [value_of(part, words) for part in parts_of(kind)]
    first = next(words)
    if name == "bool":
        return first == 1
    if name == "float":
        return kind["min"] + first * kind["step"]
    if name == "f32":
        return struct.unpack("<f", struct.pack("<I", first))[0]
    if pair_most(kind) is not None:
        first |= next(words) << 32
    if name == "int":
        return kind["min"] + first
    if name == "f64":
        return struct.unpack("<d", struct.pack("<Q", first))[0]
    if name == "string":
        packed = b"".join(next(words).to_bytes(4, "little") for _ in range((first + 3) // 4))
        return packed[:first].decode(errors="replace")
    if name == "option":
        return value_of(kind["of"], words) if first else None
    if name == "list":
        return [value_of(kind["of"], words) for _ in range(first)]
    if name == "rotation":
        four = [first, *(next(words) for _ in range(3))]
        return dict(zip("xyzw", rotation.of_words(four, kind["bits"])))
    if name == "enum":
        variant = kind["variants"][first]
        data = value_of(variant["type"], words)
        return variant["name"] if variant["type"]["kind"] == "unit" else {variant["name"]: data}
    return first or None


def words_of(kind, value):
    """The words of a value given as JSON would have it."""
    name = kind["kind"]
    if name == "unit":
        return []
    if name == "bool":
        return [int(value)]
    if name == "int":
        word = value - kind["min"]
        if not 0 <= word <= kind["span"]:
            raise Fault(f"{value} is out of {kind['min']} to {kind['min'] + kind['span']}")
        return [word] if kind["span"] <= WORD_MAX else [word & WORD_MAX, word >> 32]
    if name == "float":
        word = round_away((min(max(value, kind["min"]), kind["max"]) - kind["min"]) / kind["step"])
        most = steps(kind)
        return [0 if kind.get("wraps") and word >= most else min(word, most)]
    if name == "f32":
        return list(struct.unpack("<I", struct.pack("<f", value)))
    if name == "f64":
        return list(struct.unpack("<II", struct.pack("<d", value)))
    if name == "string":
        return _string_words(value.encode())
    if name == "option":
        return [0] if value is None else [1, *words_of(kind["of"], value)]
    if name == "rotation":
        return rotation.to_words([value[part] for part in "xyzw"], kind["bits"])
    if name == "list":
        return [len(value), *(word for item in value for word in words_of(kind["of"], item))]
    if name == "struct":
        value = [value[field["name"]] for field in kind["fields"]]
    if name in ("array", "tuple", "struct"):
        return [w for part, item in zip(parts_of(kind), value) for w in words_of(part, item)]
    if name == "enum":
        (name, data), = value.items() if isinstance(value, dict) else ((value, None),)
        place = [variant["name"] for variant in kind["variants"]].index(name)
        return [place, *words_of(kind["variants"][place]["type"], data)]
    return [value or 0]


def write_value(kind, value):
    """The bytes of a value in full, as actions and inputs carry it."""
    writer = BitWriter()
    write(kind, iter(words_of(kind, value)), writer)
    return writer.to_bytes()


def read_value(kind, data):
    """The value in full that the bytes are, as events carry it."""
    source, words = Bytes(data), []
    reader = BitReader(source)
    read(kind, reader, words)
    reader.finish()
    if not source.is_empty():
        raise Fault("bytes are left over")
    return value_of(kind, iter(words))
