"""MessagePack, as much of it as control messages and schemas need."""

import struct


class MessagePackError(ValueError):
    """The bytes are no MessagePack value of a kind that the protocol uses."""


def encode(value):
    """The bytes of None, a boolean, an int, a float, a string, bytes, a list or a dict of these."""
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return _head(len(text), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + text
    if isinstance(value, bytes):
        mark, layout = next((mark, layout) for mark, (layout, kind) in _SIZED.items()
                            if kind == "bytes" and len(value) < 1 << 8 * struct.calcsize(layout))
        return bytes([mark]) + struct.pack(layout, len(value)) + value
    if isinstance(value, list):
        return _head(len(value), 0x90, 15, (None, 0xDC, 0xDD)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        pairs = (encode(key) + encode(item) for key, item in value.items())
        return _head(len(value), 0x80, 15, (None, 0xDE, 0xDF)) + b"".join(pairs)
    raise MessagePackError(f"{value!r} has no place in a message")


def _head(length, fixed, fixed_max, marks):
    if length <= fixed_max:
        return bytes([fixed | length])
    for mark, layout, most in zip(marks, (">B", ">H", ">I"), (0xFF, 0xFFFF, 0xFFFFFFFF)):
        if mark is not None and length <= most:
            return bytes([mark]) + struct.pack(layout, length)
    raise MessagePackError(f"{length} items are too many")


def _integer(value):
    if -32 <= value <= 127:
        return struct.pack(">b", value) if value < 0 else bytes([value])
    forms = (
        (0xCC, ">B", 0, 0xFF),
        (0xCD, ">H", 0, 0xFFFF),
        (0xCE, ">I", 0, 0xFFFFFFFF),
        (0xCF, ">Q", 0, 0xFFFFFFFFFFFFFFFF),
        (0xD3, ">q", -(1 << 63), -1),
    )
    for mark, layout, least, most in forms:
        if least <= value <= most:
            return bytes([mark]) + struct.pack(layout, value)
    raise MessagePackError(f"{value} does not fit 64 bits")


# The mark of each number and how its bytes are laid out.
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}
# The mark of each thing with a length, how the length is laid out, and what it is.
_SIZED = {
    0xC4: (">B", "bytes"), 0xC5: (">H", "bytes"), 0xC6: (">I", "bytes"),
    0xD9: (">B", "text"), 0xDA: (">H", "text"), 0xDB: (">I", "text"),
    0xDC: (">H", "list"), 0xDD: (">I", "list"),
    0xDE: (">H", "map"), 0xDF: (">I", "map"),
}
_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}


def decode(data):
    """The one value that the bytes are."""
    value, at = _value(data, 0)
    if at != len(data):
        raise MessagePackError(f"{len(data) - at} bytes are left over")
    return value


def end_of_fields(data, names):
    """Where the last of these fields ends, with which the map of these bytes begins."""
    at = 1
    for expected in names:
        name, at = _value(data, at)
        if name != expected:
            raise MessagePackError(f"the field {name!r} stands where {expected!r} belongs")
        _, at = _value(data, at)
    return at


def _take(data, at, layout):
    size = struct.calcsize(layout)
    if at + size > len(data):
        raise MessagePackError("the bytes end early")
    return struct.unpack_from(layout, data, at)[0], at + size


def _value(data, at):
    mark, at = _take(data, at, ">B")
    if mark <= 0x7F:
        return mark, at
    if mark >= 0xE0:
        return mark - 0x100, at
    if mark in _PLAIN:
        return _PLAIN[mark], at
    if mark in _NUMBERS:
        return _take(data, at, _NUMBERS[mark])
    if mark <= 0x8F:
        length, kind = mark & 0x0F, "map"
    elif mark <= 0x9F:
        length, kind = mark & 0x0F, "list"
    elif mark <= 0xBF:
        length, kind = mark & 0x1F, "text"
    elif mark in _SIZED:
        layout, kind = _SIZED[mark]
        length, at = _take(data, at, layout)
    else:
        raise MessagePackError(f"a value of mark {mark:#04x} has no place in a message")
    readers = {"text": _text, "bytes": _bytes, "list": _list, "map": _map}
    return readers[kind](data, at, length)


def _bytes(data, at, length):
    if at + length > len(data):
        raise MessagePackError("the bytes end early")
    return bytes(data[at:at + length]), at + length


def _text(data, at, length):
    text, at = _bytes(data, at, length)
    return text.decode(), at


def _list(data, at, length):
    items = []
    for _ in range(length):
        item, at = _value(data, at)
        items.append(item)
    return items, at


def _map(data, at, length):
    pairs = {}
    for _ in range(length):
        key, at = _value(data, at)
        pairs[key], at = _value(data, at)
    return pairs, at
