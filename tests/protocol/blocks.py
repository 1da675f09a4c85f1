"""Views, and the bodies of the blocks that change them: PROTOCOL.md, sections 9 and 13."""

import plan
from codec import WORD_MAX, Fault
from decisions import Decoder
from values import SPAN_BITS, SPAN_MAX, Reading

ROOM = 0
ENTITIES_MAX = 65_536
# What a client keeps at most, and what counts how much of it, in bytes.
STATE_MAX, ENTITY_BYTES, COMPONENT_BYTES, COMPONENT_WORDS, WORD_BYTES = 96 << 20, 192, 176, 4, 12


def component_bytes(words):
    return COMPONENT_BYTES + WORD_BYTES * max(0, len(words) - COMPONENT_WORDS)


class Send:
    """What a group showed at a tick: entity -> component -> words. None of it is changed later."""

    def __init__(self, tick=0, shown=None):
        self.tick = tick
        self.shown = {} if shown is None else shown


class View:
    """What a group shows."""

    def __init__(self):
        self.older = Send()
        self.base = Send()

    def bytes(self):
        """What it counts: all that it shows, and each value that it showed before."""
        shown = [self.base.shown] if self.base is self.older else [self.base.shown, self.older.shown]
        known, count = {}, 0
        for entities in shown:
            for entity, components in entities.items():
                if entity not in known:
                    known[entity] = components
                    count += ENTITY_BYTES + sum(map(component_bytes, components.values()))
        return count

    def made(self, send):
        if len(send.shown) - (ROOM in send.shown) > ENTITIES_MAX:
            raise Fault("too many entities")
        self.older, self.base = self.base, send


class Body:
    """Reads one block off the front of a frame's bytes."""

    def __init__(self, of, source, trace=None, most=STATE_MAX):
        self.plan = of
        # What the view may count when it is read.
        self.most = most
        self.source = source
        self.decoder = Decoder(source.peek(), of.nodes, trace)
        # Entities that it says are gone, and that it tells as new ones.
        self.gone = set()
        self.entered = set()

    def delta(self, view, tick):
        """Gives the renamings."""
        self.most -= view.bytes()
        send, renamed = self._delta(view.older, view.base, tick)
        self._end()
        view.made(send)
        return renamed

    def absolute(self, view, tick):
        """Says whether it is whole."""
        whole = self.decoder.decide(plan.WHOLE)
        self.most -= 0 if whole else view.bytes()
        age = self.decoder.raw(SPAN_BITS) if self.decoder.decide(plan.OLD) else 0
        gap = self.decoder.raw(SPAN_BITS) if self.decoder.decide(plan.APART) else 1
        last = max(tick - age, 0)
        before = Send(max(last - gap, 0))
        if whole:
            self._everything(before)
        else:
            self._changes(before, view)
        send, _ = self._delta(before, before, last)
        self._end()
        view.made(before)
        view.made(send)
        return whole

    def _end(self):
        self.source.take(self.decoder.used())

    def _everything(self, before):
        for entity in self._ids(self._entering()):
            before.shown[entity] = self._enters(entity)

    def _changes(self, before, view):
        before.shown = shown = dict(view.base.shown)
        for entity in self._ids(self.decoder.magnitude(plan.REMOVED)):
            self._fate(entity)
            shown.pop(entity, None)
        for entity in self._ids(self._entering()):
            if self.decoder.decide(plan.NEW):
                shown[entity] = self._enters(entity)
            elif entity in shown:
                shown[entity] = self._partial(shown[entity])
            else:
                raise Fault(f"entity {entity} changes, which is not there")

    def _takes(self, count):
        self.most -= count
        if self.most < 0:
            raise Fault("more of the room is told than a client keeps")

    def _entering(self):
        count = self.decoder.magnitude(plan.ENTERED)
        if count > ENTITIES_MAX + 1:
            raise Fault("more entities are told than a client may see")
        return count

    def _ids(self, count):
        least = 0
        for _ in range(count):
            self.decoder.check_more()
            entity = least + self.decoder.magnitude(plan.ID)
            if entity > WORD_MAX:
                raise Fault("an id is too large")
            yield entity
            least = entity + 1

    def _enters(self, entity):
        self.entered.add(entity)
        self._takes(ENTITY_BYTES)
        return self._arrival()

    def _arrival(self):
        components, had = {}, 0
        for number, component in enumerate(self.plan.components):
            had = self.decoder.decide(component.first + plan.GIVEN + had)
            if had:
                components[number] = self._whole(component)
        return components

    def _whole(self, component):
        words = component.form.whole(Reading(self.decoder))
        self._takes(component_bytes(words))
        return words

    def _partial(self, known):
        components = dict(known)
        for number, component in enumerate(self.plan.components):
            if not self.decoder.decide(component.first + plan.TOLD):
                continue
            if self.decoder.decide(component.first + plan.KEPT):
                components[number] = self._whole(component)
            else:
                components.pop(number, None)
        return components

    def _delta(self, older, base, tick):
        send, renamed = Send(tick, dict(base.shown)), []
        stay = sorted(base.shown)
        if self.decoder.decide(plan.TRAFFIC):
            renamed = self._renamed()
            for entity in self._removed(stay):
                del send.shown[entity]
            stay = [entity for entity in stay if entity in send.shown]
            for entity in self._ids(self._entering()):
                if entity in send.shown:
                    raise Fault(f"entity {entity} enters, which is there")
                send.shown[entity] = self._enters(entity)
        moved = {e for e in stay if older.shown.get(e) != base.shown[e]}
        goes_on = True
        for entity in stay:
            if entity in moved:
                goes_on = self.decoder.decide(plan.ACTIVE + goes_on)
                if goes_on:
                    send.shown[entity] = self._record(entity, older, base, tick, True)
        self._stirred([e for e in stay if e not in moved], older, base, send)
        return send, renamed

    def _renamed(self):
        pairs = []
        for _ in range(self.decoder.magnitude(plan.RENAMED)):
            self.decoder.check_more()
            pairs.append((self.decoder.magnitude(plan.ID), self.decoder.magnitude(plan.ID)))
        return pairs

    def _removed(self, stay):
        count, behind = self.decoder.magnitude(plan.REMOVED), 0
        if count > len(stay):
            raise Fault("more entities leave than there are")
        for after in range(count - 1, -1, -1):
            place = behind + self.decoder.one_of(len(stay) - behind - after)
            self._fate(stay[place])
            yield stay[place]
            behind = place + 1

    def _fate(self, entity):
        if not self.decoder.decide(plan.HIDDEN):
            self.gone.add(entity)

    def _stirred(self, others, older, base, send):
        place = 0
        for _ in range(self.decoder.magnitude(plan.STIRRED)):
            place += self.decoder.magnitude(plan.GAP)
            if place >= len(others):
                raise Fault("an entity changes behind the last one")
            entity = others[place]
            send.shown[entity] = self._record(entity, older, base, send.tick, False)
            place += 1

    def _record(self, entity, older, base, tick, has_moved):
        self.decoder.check_more()
        had, was = older.shown.get(entity, {}), base.shown[entity]
        now, told, beside = dict(was), False, 0
        recomposed = self.decoder.decide(plan.RECOMPOSED)
        for number in self.plan.order:
            component = self.plan.components[number]
            if recomposed:
                if not self.decoder.decide(component.first + plan.KEPT):
                    now.pop(number, None)
                    continue
                if number not in was:
                    now[number] = self._whole(component)
                    continue
            if number not in was:
                continue
            old = was[number]
            old_older = had.get(number, old)
            node = plan.CHANGED + (old_older != old) + 2 * has_moved + 4 * told
            if self.decoder.decide(component.first + node):
                told = True
                reading = self._reading(older, base, tick, beside)
                reading.speeds = _speeds(component.moves_by, had, was, now)
                now[number] = component.form.difference(reading, old_older, old)
                self._takes(max(0, component_bytes(now[number]) - component_bytes(old)))
                beside = reading.beside
        return now

    def _reading(self, older, base, tick, beside):
        def span(start, end):
            return min(max(end - start, 0), SPAN_MAX)
        before, ticks = span(older.tick, base.tick), span(base.tick, tick)
        return Reading(self.decoder, before, ticks, self.plan.hz, beside)


def _speeds(by, had, was, now):
    if by is None or by not in was:
        return None
    return had.get(by, was[by]), was[by], now.get(by, was[by])
