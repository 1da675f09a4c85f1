"""Orientations: PROTOCOL.md, sections 8 and 12. All is in floats of 32 bits."""

import math
import struct

_FLOAT = struct.Struct("<f")


def single(value):
    """The nearest float of 32 bits. Of one operation on such floats, done in 64 bits, this is what
    32 bits would have given."""
    return _FLOAT.unpack(_FLOAT.pack(value))[0]


_PART_MAX = single(0.70710677)


def of_words(words, bits):
    """The quaternion x, y, z, w that four words say."""
    largest, others = words[0], iter(words[1:])
    top = float((1 << bits) - 1)
    parts, total = [0.0] * 4, 0.0
    for place in range(4):
        if place != largest:
            part = single(single(single(next(others) / top) * 2) - 1)
            parts[place] = single(part * _PART_MAX)
            total = single(total + single(parts[place] * parts[place]))
    parts[largest] = single(math.sqrt(max(single(1 - total), 0.0)))
    return parts


def to_words(quaternion, bits):
    """The four words of a quaternion."""
    length = single(math.sqrt(_dot(quaternion, quaternion)))
    if length == 0:
        return to_words([0.0, 0.0, 0.0, 1.0], bits)
    unit = [single(part / length) for part in quaternion]
    largest = largest_of(unit)
    return [largest, *beside(unit, largest, bits)]


def largest_of(quaternion):
    """The place of the part with the greatest absolute value, the first of equals."""
    return max(range(4), key=lambda place: abs(quaternion[place]))


def beside(quaternion, largest, bits):
    """The words of the parts beside one."""
    sign = -1.0 if quaternion[largest] < 0 else 1.0
    top = (1 << bits) - 1
    words = []
    for place in range(4):
        if place != largest:
            part = single(single(quaternion[place] * sign) / _PART_MAX)
            word = single(single(single(single(part * 0.5) + 0.5) * top) + 0.5)
            words.append(math.floor(min(max(word, 0.0), float(top))))
    return words


def _dot(a, b):
    total = single(a[0] * b[0])
    for place in range(1, 4):
        total = single(total + single(a[place] * b[place]))
    return total


def onward(older, old, before, ticks):
    """Where a rotation goes on to that came from `older` to `old` in `before` ticks."""
    ratio = single(ticks / before) if before else 0.0
    dot = _dot(older, old)
    sign = -1.0 if dot < 0 else 1.0
    to = []
    for was_older, was in zip(older, old):
        was_older = single(was_older * sign)
        if ratio == 1:
            to.append(single(single(single(single(2 * dot) * sign) * was) - was_older))
        else:
            to.append(single(was + single(single(was - was_older) * ratio)))
    length = single(math.sqrt(_dot(to, to)))
    return [single(part / length) for part in to] if length else old
