"""What a client knows of a room, built from state frames: PROTOCOL.md, section 9."""

import codec
import xxh3
from blocks import ENTITIES_MAX, ROOM, Body, View
from codec import Bytes, Fault
from plan import Plan

_FULL, _ACTION, _INPUT = 1, 2, 4
_KINDS = DELTA, SINCE, WHOLE, FAREWELL = "delta", "since", "whole", "farewell"


class State:
    """The state that one connection, or several in a row, have brought. `schema` is the body of the
    Schema frame, read; `body` the same, as it came."""

    def __init__(self, schema, body, hz):
        self.schema = schema
        self.plan = Plan(schema, body, hz or 0)
        self.tick = 0
        # Group number -> view.
        self.views = {}
        # Entity -> handle.
        self.handles = {}
        self.last_handle = 0
        # What the last frame shows no more: handles, and whether they are gone.
        self.left = {}
        self.gone = set()
        # What kinds of blocks the last frame had.
        self.kinds = []
        # A list that takes what is decided, where someone wants to see it.
        self.trace = None

    def apply(self, body):
        """Applies the body of a state frame; gives its prelude."""
        source = Bytes(body)
        prelude = self._prelude(source)
        if prelude["full"]:
            self.views, self.handles = {}, {}
        self.tick = prelude["tick"]
        self.kinds, self.gone = [], set()
        while not source.is_empty():
            self._block(source)
        seen = {entity for view in self.views.values() for entity in view.base.shown}
        self.left = {h: e in self.gone for e, h in self.handles.items() if e not in seen}
        self.handles = {e: handle for e, handle in self.handles.items() if e in seen}
        if len(self.handles) > ENTITIES_MAX:
            raise Fault("too many entities")
        return prelude

    def _prelude(self, source):
        flags = source.u8()
        if flags & ~(_FULL | _ACTION | _INPUT):
            raise Fault(f"prelude flags {flags:#04x} are unknown")
        full = bool(flags & _FULL)
        tick = source.varint() + (0 if full else self.tick)
        action = source.u16() if flags & _ACTION else None
        sample = (source.u8(), source.i8()) if flags & _INPUT else None
        return {"full": full, "tick": tick, "action": action, "input": sample}

    def _block(self, source):
        header = source.varint()
        kind, group = _KINDS[header & 3], header >> 2
        most = (0, codec.WORD_MAX, codec.WORD_MAX, 0xFFFF)[group & 3]
        if group >> 2 > most:
            raise Fault(f"there is no group {group}")
        self.kinds.append(kind)
        if kind == FAREWELL:
            self.views.pop(group, None)
            return
        age, gap = (source.varint(), source.varint()) if kind in (SINCE, WHOLE) else (0, 0)
        body = Body(self.plan, source.take(source.varint()), self.trace)
        view = self.views.setdefault(group, View())
        renamed, ticks = [], (max(self.tick - age - gap, 0), max(self.tick - age, 0))
        if kind == DELTA:
            renamed = body.delta(view, self.tick)
        elif kind == SINCE:
            body.since(view, *ticks)
        else:
            body.whole(view, *ticks)
        self.gone |= body.gone
        self._name(renamed, view)

    def _name(self, renamed, view):
        for old, new in renamed:
            if old in self.handles:
                self.handles[new] = self.handles.pop(old)
        for entity in sorted(view.base.shown):
            if entity != ROOM and entity not in self.handles:
                self.last_handle += 1
                self.handles[entity] = self.last_handle

    def _shown(self):
        """Every entity, and the room as entity 0: its components by number, as words."""
        found = {}
        # From wide to narrow: the narrowest group's words stand.
        for group in sorted(self.views, key=lambda number: (number & 3, number >> 2)):
            for entity, components in self.views[group].base.shown.items():
                found.setdefault(entity, {}).update(components)
        return found

    def entities(self):
        """Every entity, and the room as entity 0: its components by name, as JSON values."""
        types = self.schema["components"]
        return {
            entity: {types[number]["name"]: codec.value_of(types[number]["type"], iter(words))
                     for number, words in components.items()}
            for entity, components in self._shown().items()
        }

    def hash(self):
        """What `Check` compares."""
        data = bytearray()
        for entity, components in sorted(self._shown().items()):
            for number, words in sorted(components.items()):
                data += entity.to_bytes(4, "little") + number.to_bytes(2, "little")
                for word in words:
                    data += word.to_bytes(4, "little")
        return xxh3.digest(bytes(data))

    def resource(self, name):
        """The value of a resource; None where there is none."""
        return self.entities().get(ROOM, {}).get(name)
