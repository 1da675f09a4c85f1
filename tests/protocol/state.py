"""What a client knows of a room, built from state frames: PROTOCOL.md, section 9."""

import codec
from codec import BitReader, Bytes, Fault

ROOM = 0
_FULL, _ACTION, _INPUT = 1, 2, 4


class State:
    """The state that one connection, or several in a row, have brought."""

    def __init__(self, schema):
        self.schema = schema
        self.tick = 0
        # Group number -> entity -> component -> words.
        self.groups = {}
        self.kinds = []

    def apply(self, body):
        """Applies the body of a state frame; gives its prelude."""
        source = Bytes(body)
        prelude = self._prelude(source)
        if prelude["full"]:
            self.groups = {}
        self.tick = prelude["tick"]
        self.kinds = []
        leaving = []
        while not source.is_empty():
            leaving.append(self._block(source))
        for shown, removed, hidden in leaving:
            for entity in removed:
                shown.pop(entity, None)
            for entity, component in hidden:
                shown.get(entity, {}).pop(component, None)
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
        is_absolute, group = header & 1, header >> 1
        if group & 3 == 0 and group != 0:
            raise Fault(f"there is no group {group}")
        shown = self.groups.setdefault(group, {})
        reader = BitReader(source)
        is_whole = is_absolute and reader.bits(1)
        self.kinds.append("whole" if is_whole else "since" if is_absolute else "delta")
        if is_whole:
            shown.clear()
        for _ in range(reader.number(0)):
            old, new = reader.number(12), reader.number(12)
            self._rename(shown, old, new)
        removed = list(self._ids(reader, reader.number(0)))
        last = len(self.schema["components"]) - 1
        hidden = [(reader.number(12), reader.bits(codec.width(last)))
                  for _ in range(reader.number(0))]
        for entity in self._ids(reader, reader.number(2)):
            self._record(shown, entity, is_absolute, reader)
        reader.finish()
        return shown, removed, hidden

    @staticmethod
    def _rename(shown, old, new):
        if old in shown:
            shown[new] = shown.pop(old)

    @staticmethod
    def _ids(reader, count):
        entity = 0
        for _ in range(count):
            entity += reader.number(12)
            if entity > codec.WORD_MAX:
                raise Fault("an id is too large")
            yield entity

    def _record(self, shown, entity, is_absolute, reader):
        if reader.bits(1):
            shown.pop(entity, None)
        known = shown.setdefault(entity, {})
        types = self.schema["components"]
        present = [component for component in range(len(types)) if reader.bits(1)]
        for component in present:
            kind, words = types[component]["type"], []
            if is_absolute or component not in known:
                codec.read(kind, reader, words)
            else:
                codec.read_difference(kind, known[component], reader, words)
            known[component] = words

    def entities(self):
        """Every entity, and the room as entity 0: its components by name, as JSON values."""
        found = {}
        # From wide to narrow: the narrowest group's value stands.
        for group in sorted(self.groups, key=lambda number: (number & 3, number >> 2)):
            for entity, components in self.groups[group].items():
                for component, words in components.items():
                    of = self.schema["components"][component]
                    value = codec.value_of(of["type"], iter(words))
                    found.setdefault(entity, {})[of["name"]] = value
                found.setdefault(entity, {})
        return found

    def resource(self, name):
        """The value of a resource; None where there is none."""
        return self.entities().get(ROOM, {}).get(name)
