"""What a client knows of a room, built from state frames: PROTOCOL.md, section 9."""

import codec
import xxh3
from blocks import ENTITIES_MAX, ROOM, STATE_MAX, Body, View
from codec import Bytes, Fault
from plan import Plan

_TICK, _ACTION, _INPUT, _HEADS = 8, 16, 32, 6
_DELTAS, _MARKED, _LISTED = 1, 2, 3
_FULL = 1
_KINDS = NOTHING, DELTA, ABSOLUTE, FAREWELL = range(4)
_GROUPS_MAX = 127


def is_full(frame):
    """Whether a state frame's client forgets what it knew."""
    return frame[0] >> _HEADS == _LISTED and bool(frame[1] & _FULL)


class State:
    """The state that one connection, or several in a row, have brought. `schema` is the body of the
    Schema frame, read; `body` the same, as it came."""

    def __init__(self, schema, body, hz):
        self.schema, self.body, self.hz = schema, body, hz
        self.plan = Plan(schema, body, hz or 0)
        self.tick = 0
        # Group number -> view.
        self.views = {}
        # Id -> handle: several ids may have the same.
        self.handles = {}
        self.last_handle = 0
        # What the last frame shows no more: handles, and whether they are gone.
        self.left = {}
        self.gone = set()
        # Handles that ids lost in it to others.
        self.dropped = {}
        # What kinds of blocks the last frame had.
        self.kinds = []
        # A list that takes what is decided, where someone wants to see it.
        self.trace = None

    def apply(self, frame):
        """Applies a state frame; gives its prelude."""
        source = Bytes(frame)
        prelude, heads, joined = self._prelude(source)
        if prelude["full"]:
            self.views, self.handles = {}, {}
        self.tick = prelude["tick"]
        self.kinds, self.gone, self.dropped = [], set(), {}
        known = self.last_handle
        for group, kind in self._heads(source, heads, joined):
            self._block(source, group, kind)
        if not source.is_empty():
            self._aliases(source)
        if not source.is_empty():
            raise Fault("bytes are left over behind the aliases")
        seen = {entity for view in self.views.values() for entity in view.base.shown}
        for entity, handle in self.handles.items():
            if entity not in seen:
                self._drop(handle, entity in self.gone)
        self.handles = {e: handle for e, handle in self.handles.items() if e in seen}
        kept = set(self.handles.values())
        self.left = {h: gone for h, gone in self.dropped.items() if h <= known and h not in kept}
        if len(kept) > ENTITIES_MAX:
            raise Fault("too many entities")
        return prelude

    def _prelude(self, source):
        flags = source.u8()
        heads = flags >> _HEADS
        joined = source.u8() if heads == _LISTED else 0
        full = bool(joined & _FULL)
        tick = (source.varint() if flags & _TICK else 1) + (0 if full else self.tick)
        action = source.u16() if flags & _ACTION else None
        sample = (source.u8(), source.i8()) if flags & _INPUT else None
        return {"full": full, "tick": tick, "action": action, "input": sample}, heads, joined >> 1

    def _heads(self, source, heads, joined):
        """What the frame tells of which groups."""
        for _ in range(joined):
            group = source.varint()
            most = (0, codec.WORD_MAX, codec.WORD_MAX, 0xFFFF)[group & 3]
            if group >> 2 > most or group in self.views:
                raise Fault(f"there is no group {group}, or it is known")
            self.views[group] = View()
        groups = self._groups()
        if len(groups) > _GROUPS_MAX:
            raise Fault("too many groups")
        if heads not in (_MARKED, _LISTED):
            return [(group, DELTA if heads == _DELTAS else NOTHING) for group in groups]
        bits = 1 if heads == _MARKED else 2
        size = -(-len(groups) * bits // 8)
        kinds = int.from_bytes(source.take(size), "little")
        if kinds >> len(groups) * bits:
            raise Fault("the padding is not zero")
        return [(group, _KINDS[kinds >> at * bits & (1 << bits) - 1])
                for at, group in enumerate(groups)]

    def _groups(self):
        """The groups, from wide to narrow."""
        return sorted(self.views, key=lambda number: (number & 3, number >> 2))

    def _block(self, source, group, kind):
        view, renamed = self.views[group], []
        if kind == FAREWELL:
            del self.views[group]
            self.kinds.append("farewell")
        if kind in (NOTHING, FAREWELL):
            return
        others = sum(known.bytes() for of, known in self.views.items() if of != group)
        body = Body(self.plan, source, self.trace, STATE_MAX - others)
        before = view.older.shown.keys() | view.base.shown.keys()
        if kind == DELTA:
            renamed = body.delta(view, self.tick)
            self.kinds.append("delta")
        else:
            self.kinds.append("whole" if body.absolute(view, self.tick) else "since")
        self.gone |= body.gone
        self._name(renamed, view, self._reborn(group, body.entered & before))

    def _reborn(self, group, again):
        """Of ids that came anew, those that no wider group showed all along."""
        groups = self._groups()
        wider = [self.views[of] for of in groups[:groups.index(group)]]
        return [e for e in again if not any(e in view.base.shown for view in wider)]

    def _name(self, renamed, view, reborn):
        for entity in reborn:
            if entity in self.handles:
                self._drop(self.handles.pop(entity), entity in self.gone)
        for old, new in renamed:
            if old in self.handles:
                self._give(new, self.handles[old])
        for entity in sorted(view.base.shown):
            if entity != ROOM and entity not in self.handles:
                self.last_handle += 1
                self.handles[entity] = self.last_handle

    def _drop(self, handle, gone):
        self.dropped[handle] = gone or self.dropped.get(handle, False)

    def _give(self, entity, handle):
        own = self.handles.get(entity, handle)
        self.handles[entity] = handle
        if own != handle:
            self._drop(own, False)

    def _aliases(self, source):
        """Which ids are the same entity's."""
        entities = source.varint()
        if entities == 0:
            raise Fault("there are aliases of no entity")
        for _ in range(entities):
            several, ids, least = source.varint(), [], 0
            if several < 2:
                raise Fault("an entity has aliases that has one id")
            for _ in range(several):
                entity = least + source.varint()
                if entity == ROOM or entity > codec.WORD_MAX:
                    raise Fault(f"there is no entity {entity}")
                ids.append(entity)
                least = entity + 1
            self._join(ids)

    def _join(self, ids):
        handles = {self.handles[entity] for entity in ids if entity in self.handles}
        for entity, handle in list(self.handles.items()):
            if handle in handles:
                self._give(entity, min(handles))

    def ids(self):
        """Each entity's smallest id and its handle."""
        first = {}
        for entity, handle in sorted(self.handles.items(), reverse=True):
            first[handle] = entity
        return {entity: handle for handle, entity in first.items()}

    def _shown(self):
        """Every entity by its smallest id, and the room as entity 0: its components by number, as
        words."""
        found, first = {}, {handle: entity for entity, handle in self.ids().items()}
        # From wide to narrow: the narrowest group's words stand.
        for group in self._groups():
            for entity, components in self.views[group].base.shown.items():
                if entity != ROOM:
                    entity = first[self.handles[entity]]
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
