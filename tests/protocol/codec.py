"""Numbers, bits and values: PROTOCOL.md, sections 3 and 8."""

import math
import struct

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

    def number(self, order):
        size = order
        while self.bits(1):
            size += 1
            if size > 32:
                raise Fault("a number is too long")
        value = (1 << size) + self.bits(size) - (1 << order)
        if value > WORD_MAX:
            raise Fault("a number is too long")
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

    def number(self, value, order):
        shifted = value + (1 << order)
        size = shifted.bit_length() - 1
        for _ in range(size - order):
            self.bits(1, 1)
        self.bits(0, 1)
        self.bits(shifted & ((1 << size) - 1), size)

    def to_bytes(self):
        return self.value.to_bytes((self.count + 7) // 8, "little")


def width(most):
    return most.bit_length()


def _round(value):
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def _steps(kind):
    return min(max(_round((kind["max"] - kind["min"]) / kind["step"]), 0), WORD_MAX)


def _single(kind):
    """The largest word of a type that is always one word; None for other types."""
    name = kind["kind"]
    if name == "bool":
        return 1
    if name == "int" and kind["span"] <= WORD_MAX:
        return kind["span"]
    if name == "float":
        return _steps(kind)
    return WORD_MAX if name in ("f32", "entity") else None


def _pair(kind):
    """The largest pair of a type that is always two words; None for other types."""
    if kind["kind"] == "f64":
        return (1 << 64) - 1
    return kind["span"] if kind["kind"] == "int" and kind["span"] > WORD_MAX else None


def _parts(kind):
    """The types of the parts of a type whose values all have the same parts; else None."""
    name = kind["kind"]
    if name == "array":
        return [kind["of"]] * kind["length"]
    if name == "tuple":
        return kind["items"]
    return [field["type"] for field in kind["fields"]] if name == "struct" else None


def _up_to(reader, most):
    value = reader.bits(width(most))
    if value > most:
        raise Fault(f"{value} is above {most}")
    return value


def read(kind, reader, out):
    """Reads a value in full and appends its words."""
    name, most, pair, parts = kind["kind"], _single(kind), _pair(kind), _parts(kind)
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
    elif name != "unit":
        raise Fault(f"no type is called {name!r}")


def _string_words(text):
    filled = text + bytes(-len(text) % 4)
    return [len(text), *struct.unpack(f"<{len(filled) // 4}I", filled)]


def write(kind, words, writer):
    """Writes the value at the front of the iterator `words` in full."""
    name, most, pair, parts = kind["kind"], _single(kind), _pair(kind), _parts(kind)
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


def _skip(kind, words, at):
    """Where the value that begins at `at` ends."""
    name, parts = kind["kind"], _parts(kind)
    if name == "unit":
        return at
    if _single(kind) is not None:
        return at + 1
    if _pair(kind) is not None:
        return at + 2
    if parts is not None:
        for part in parts:
            at = _skip(part, words, at)
        return at
    first = words[at]
    if name == "string":
        return at + 1 + (first + 3) // 4
    if name == "option":
        return _skip(kind["of"], words, at + 1) if first else at + 1
    if name == "list":
        at += 1
        for _ in range(first):
            at = _skip(kind["of"], words, at)
        return at
    return _skip(kind["variants"][first]["type"], words, at + 1)


def read_difference(kind, base, reader, out, at=0):
    """Reads a value as its difference from the words at `at` of `base`, and appends its words.
    Returns where the base's value ends."""
    parts = _parts(kind)
    if parts is not None:
        for part in parts:
            at = read_difference(part, base, reader, out, at)
        return at
    end = _skip(kind, base, at)
    if kind["kind"] == "unit":
        return end
    if not reader.bits(1):
        out += base[at:end]
    elif _single(kind) is not None:
        out.append(_changed_word(base[at], _single(kind), reader))
    else:
        read(kind, reader, out)
    return end


def _changed_word(old, most, reader):
    full = width(most)
    if full > 5 and reader.bits(1):
        z = reader.bits(min(full // 2, 8)) + 1
        step = z // 2 if z % 2 == 0 else -(z + 1) // 2
        new = (old + step) & WORD_MAX
    else:
        new = reader.bits(full)
    if new > most:
        raise Fault(f"{new} is above {most}")
    return new


def value_of(kind, words):
    """The value that the iterator `words` begins with, as JSON would have it. An entity is its
    wire id."""
    name = kind["kind"]
    if name == "unit":
        return None
    if name == "struct":
        return {field["name"]: value_of(field["type"], words) for field in kind["fields"]}
    if name in ("array", "tuple"):
        return [value_of(part, words) for part in _parts(kind)]
    first = next(words)
    if name == "bool":
        return first == 1
    if name == "float":
        return kind["min"] + first * kind["step"]
    if name == "f32":
        return struct.unpack("<f", struct.pack("<I", first))[0]
    if _pair(kind) is not None:
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
        word = _round((min(max(value, kind["min"]), kind["max"]) - kind["min"]) / kind["step"])
        steps = _steps(kind)
        return [0 if kind.get("wraps") and word >= steps else min(word, steps)]
    if name == "f32":
        return list(struct.unpack("<I", struct.pack("<f", value)))
    if name == "f64":
        return list(struct.unpack("<II", struct.pack("<d", value)))
    if name == "string":
        return _string_words(value.encode())
    if name == "option":
        return [0] if value is None else [1, *words_of(kind["of"], value)]
    if name == "list":
        return [len(value), *(word for item in value for word in words_of(kind["of"], item))]
    if name == "struct":
        value = [value[field["name"]] for field in kind["fields"]]
    if name in ("array", "tuple", "struct"):
        return [w for part, item in zip(_parts(kind), value) for w in words_of(part, item)]
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
