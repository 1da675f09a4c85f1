"""Decisions: the range decoder and the nodes that learn. PROTOCOL.md, sections 10 and 11."""

from codec import Fault

_MASK = 0xFFFFFFFF
_AHEAD = 4
_RATES = (1, 2, 3, 3, 4, 4, 5, 5)
_LEARNED = 5

LENGTH_NODES, MAGNITUDE_BITS = 14, 44


class Decoder:
    """Reads the decisions of the block at the front of these bytes. The nodes begin with these chances."""

    def __init__(self, body, nodes, trace=None):
        self.body = body
        self.at = 0
        self.range = _MASK
        self.code = 0
        for _ in range(_AHEAD):
            self.code = self.code << 8 | self._next()
        self.chances = list(nodes.chances)
        self.sure = list(nodes.sure)
        self.trace = trace

    def _next(self):
        byte = self.body[self.at] if self.at < len(self.body) else 0
        self.at += 1
        return byte

    def _normalise(self):
        while self.range < 1 << 24:
            self.range <<= 8
            self.code = (self.code << 8 | self._next()) & _MASK

    def check_more(self):
        """A reader that may read for long asks whether the body has not ended."""
        if self.at > len(self.body) + _AHEAD:
            raise Fault("the body ends early")

    def used(self):
        """How many of the bytes were the block's: whatever follows them is not looked at."""
        used = self.at - _AHEAD + (1 if self.range >= 1 << 25 else 2)
        if used > len(self.body):
            raise Fault("the body ends early")
        ahead = self.at - used
        following = 0
        for at in range(used, self.at):
            following = following << 8 | (self.body[at] if at < len(self.body) else 0)
        if (self.code - following & _MASK) >> 8 * ahead:
            raise Fault("the body does not end as it would be written")
        return used

    def raw(self, bits):
        value, left = 0, bits
        while left > 0:
            now = min(left, 16)
            left -= now
            self.range >>= now
            part = min(self.code // self.range, (1 << now) - 1)
            self.code -= part * self.range
            value = value << now | part
            self._normalise()
        if self.trace is not None and bits:
            self.trace.append(f"raw({bits}) = {value}")
        return value

    def one_of(self, count):
        self.range //= count
        value = min(self.code // self.range, count - 1)
        self.code -= value * self.range
        self._normalise()
        if self.trace is not None:
            self.trace.append(f"one_of({count}) = {value}")
        return value

    def decide(self, node):
        chance, sure = self.chances[node], self.sure[node]
        rate = _RATES[sure]
        bound = (self.range >> 12) * max(chance >> 4, 1)
        yes = self.code < bound
        if yes:
            self.range = bound
            self.chances[node] += (0xFFFF - chance) >> rate
        else:
            self.code -= bound
            self.range -= bound
            self.chances[node] -= chance >> rate
        if sure < _LEARNED:
            self.sure[node] += 1
        self._normalise()
        if self.trace is not None:
            self.trace.append(f"{node} {max(chance >> 4, 1)} {'yes' if yes else 'no'}")
        return yes

    def tree(self, first, bits):
        path = 1
        for _ in range(bits):
            path = path << 1 | self.decide(first + path)
        return path - (1 << bits)

    def magnitude(self, first, bits_first=None):
        if bits_first is None:
            bits_first = first + LENGTH_NODES
        length = 0
        while length < 32 and self.decide(first + min(length, LENGTH_NODES - 1)):
            length += 1
        if length < 2:
            return length
        rest = length - 1
        few = min(rest, 2)
        high = self.tree(bits_first + 4 * (min(length, 12) - 2), few)
        return 1 << rest | high << (rest - few) | self.raw(rest - few)
