"""State, without a server: PROTOCOL.md's worked example, and matches as the Rust code tells them.

`golden.txt` is made by `protocol/tests/golden.rs`, which also keeps the page's example true."""

import collections
import pathlib
import random
import re
import struct
import unittest
import unittest.mock

import msgpack
import plan
import xxh3
from blocks import Send, View
from codec import Bytes, Fault
from decisions import Decoder
from state import State

HERE = pathlib.Path(__file__).parent
PAGE = (HERE.parents[1] / "PROTOCOL.md").read_text()
GOLDEN = (HERE / "golden.txt").read_text()


def example(mark):
    """The text of a block of the page that is marked so."""
    return re.search(rf"^```{mark}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1]


def fresh(schema, hz):
    return State(msgpack.decode(schema), schema, hz)


def fresh_of(state):
    """One of the same game that knows nothing."""
    return State(state.schema, state.body, state.hz)


def matches():
    """For each match its name, a state that knows nothing yet, and its frames: the body, a hash of
    what it shows, and one of the handles."""
    found = []
    for line in GOLDEN.splitlines()[1:]:
        what, *rest = line.split()
        if what == "match":
            found.append([" ".join(rest), None, []])
        elif what == "hz":
            hz = int(rest[0])
        elif what == "schema":
            found[-1][1] = fresh(bytes.fromhex(rest[0]), hz)
        elif what == "frame":
            found[-1][2].append((bytes.fromhex(rest[0]), *(int(hash, 16) for hash in rest[1:])))
    return found


class Page(unittest.TestCase):
    def setUp(self):
        schema = bytes.fromhex(example("hex schema"))
        self.assertIn(f"`{xxh3.digest(schema):#018x}`", PAGE)
        self.state = fresh(schema, None)

    def apply(self, name):
        frame = bytes.fromhex(example(f"hex {name}"))
        self.state.trace = []
        prelude = self.state.apply(frame)
        said = []
        for line in example(f"text decisions {name}").splitlines():
            said.append(re.match(r"(raw\(\d+\) = \d+|\d+ \d+ (?:yes|no))\s", line + "\n")[1])
        self.assertEqual(self.state.trace, said)
        return prelude

    def test_the_worked_example_is_decided_as_the_page_says(self):
        self.assertEqual(self.apply("full")["full"], True)
        player = {"seat": 0, "name": "Ann", "connected": True}
        self.assertEqual(self.state.entities(), {0: {"Count": 0}, 136: {"Player": player}})
        self.assertEqual((self.state.tick, self.state.kinds), (2, ["whole"]))
        self.assertEqual(self.apply("delta")["action"], 3)
        self.assertEqual((self.state.tick, self.state.kinds), (12, ["delta"]))
        self.assertEqual(self.state.resource("Count"), 3)
        self.assertEqual(self.state.handles, {136: 1})

    def test_who_bears_an_id_anew_is_another_unless_a_wider_group_shows_it(self):
        self.apply("full")
        state, view = self.state, View()
        view.made(Send(3, {136: {}}))
        state._name([], view, state._reborn(0, {136}))
        self.assertEqual((state.handles, state.dropped), ({136: 2}, {1: False}))
        state.views[4 * 7 + 2] = view
        state._name([], view, state._reborn(4 * 7 + 2, {136}))
        self.assertEqual(state.handles, {136: 2}, "everyone is shown it all along")

    def test_ids_of_one_entity_have_one_handle(self):
        state = self.state
        state.last_handle, state.handles = 4, {1: 1, 2: 2, 300: 3, 301: 3, 9: 4}
        example = re.search(r"For example, `(.*?)` says", PAGE)[1]
        source = Bytes(bytes.fromhex(example))
        state._aliases(source)
        self.assertTrue(source.is_empty())
        self.assertEqual(state.handles, {1: 1, 2: 1, 300: 1, 301: 1, 9: 4}, "6 is unknown")
        self.assertEqual(state.ids(), {1: 1, 9: 4})
        self.assertEqual(state.dropped, {2: False, 3: False})

    def test_the_nodes_have_the_places_of_the_page(self):
        nodes = len(self.state.plan.nodes.chances)
        self.assertIn(f"There are {nodes:,} in all.", PAGE)
        rows = re.findall(r"^\| (\d+) to (\d+) \| (\w+), a magnitude", PAGE, re.MULTILINE)
        self.assertEqual(len(rows), 6)
        for first, last, name in rows:
            self.assertEqual(getattr(plan, name.upper()), int(first), name)
            self.assertEqual(int(last) - int(first), 57)


class Matches(unittest.TestCase):
    def test_every_frame_shows_what_the_room_shows(self):
        kinds = collections.Counter()
        for name, state, frames in matches():
            numbers = {}
            for at, (body, shown, handles) in enumerate(frames):
                state.apply(body)
                kinds.update(state.kinds)
                self.assertEqual(state.hash(), shown, f"frame {at} of {name}")
                # Handles are anyone's own numbers: what counts is which of them stay.
                data = b""
                for entity, handle in sorted(state.ids().items()):
                    number = numbers.setdefault(handle, len(numbers) + 1)
                    data += struct.pack("<II", entity, number)
                self.assertEqual(xxh3.digest(data), handles, f"handles in frame {at} of {name}")
        self.assertEqual(set(kinds), {"delta", "since", "whole", "farewell"})

    def test_tables_are_used_where_they_fit(self):
        known = {name: state for name, state, _ in matches()}
        trained, others = known["trained"].plan.nodes, known["tables of others"].plan.nodes
        self.assertNotEqual(trained.chances, known["moving"].plan.nodes.chances)
        self.assertEqual(trained.chances[:3] == others.chances[:3], False)
        self.assertEqual(others.chances[:3], known["moving"].plan.nodes.chances[:3])

    def test_damaged_frames_are_faults_or_states_and_nothing_else(self):
        draw, faults = random.Random(1), 0
        for _, state, frames in matches():
            for body, *_ in frames[:8]:
                views = {group: (view.older, view.base) for group, view in state.views.items()}
                before = (state.tick, views, dict(state.handles))
                for _ in range(4):
                    damaged = bytearray(body)
                    damaged[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
                    damaged = damaged[:draw.choice((len(body), draw.randrange(len(body))))]
                    try:
                        state.apply(bytes(damaged))
                    except Fault:
                        faults += 1
                    self.restore(state, *before)
                state.apply(body)
        self.assertGreater(faults, 50)

    @staticmethod
    def restore(state, tick, views, handles):
        state.tick, state.handles = tick, dict(handles)
        state.views = {}
        for group, (older, base) in views.items():
            state.views[group] = View()
            state.views[group].older, state.views[group].base = older, base


class Bodies(unittest.TestCase):
    NODES = plan.Nodes()
    NODES.even(64)

    def test_a_body_ends_where_its_decisions_end(self):
        self.assertEqual(Decoder(bytes(9), self.NODES).used(), 1)
        with self.assertRaises(Fault):
            Decoder(b"", self.NODES).used()
        decoder = Decoder(bytes(9), self.NODES)
        self.assertEqual((decoder.raw(7), decoder.range >= 1 << 25, decoder.used()), (0, False, 2))
        self.assertEqual((decoder.raw(1), decoder.used()), (0, 2))

    def test_raw_numbers(self):
        # Of a range of 2^32 - 1, cut to 2^16 parts, and so on: the bytes are nearly the number.
        decoder = Decoder(bytes.fromhex("12340000"), self.NODES)
        self.assertEqual(decoder.raw(16), 0x1234)
        self.assertEqual((Decoder(b"\xff" * 4, self.NODES).raw(16), decoder.raw(0)), (0xFFFF, 0))
        self.assertEqual(Decoder(b"\xff" * 4, self.NODES).one_of(3), 2)

    def test_a_node_learns(self):
        decoder = Decoder(b"", self.NODES)
        learnt = []
        for _ in range(7):
            self.assertTrue(decoder.decide(7))
            learnt.append((decoder.chances[7], decoder.sure[7]))
        self.assertEqual(learnt[:3], [(49151, 1), (53247, 2), (54783, 3)])
        self.assertEqual([sure for _, sure in learnt], [1, 2, 3, 4, 5, 5, 5])

    def test_tables_that_are_cut_short_hold_as_far_as_they_go(self):
        nodes = plan.Nodes()
        nodes.even(4)
        nodes.apply(bytes.fromhex("0102 f8ff 0700 00 09 11"))
        self.assertEqual(nodes.chances, [32768, 65520, 16, 32768])
        self.assertEqual(nodes.sure, [0, 7, 7, 0])

    def test_a_frame_tells_no_more_than_a_client_keeps(self):
        _, state, frames = matches()[0]
        for body, *_ in frames[:4]:
            state.apply(body)
        counted = sum(view.bytes() for view in state.views.values())
        self.assertGreater(counted, 192 + 176)
        for most, fits in ((4 * counted, True), (counted // 2, False)):
            other = fresh_of(state)
            try:
                with unittest.mock.patch("state.STATE_MAX", most):
                    for body, *_ in frames[:4]:
                        other.apply(body)
                self.assertTrue(fits)
            except Fault as fault:
                self.assertIn("than a client keeps", str(fault))
                self.assertFalse(fits)

    def test_nonsense_is_a_fault(self):
        state = matches()[0][1]
        # Nothing; a tick that is missing; a group that is not there, one that comes twice, one that is
        # cut short; padding; behind the last block aliases of no entity, of one id, of the room, of what
        # cannot be, some that are cut short, and bytes behind them.
        for frame in ("", "09", "c1020402", "c104050505", "c10200", "c1020002", "c103000c", "0100",
                      "01010105", "0101020005", "010102ffffffff0f00", "01010205", "010102050000"):
            with self.assertRaises(Fault):
                fresh_of(state).apply(bytes.fromhex(frame))


class Hash(unittest.TestCase):
    def test_of_every_length(self):
        self.assertEqual(xxh3.digest(b""), 0x2D06800538D394C2)
        lines = re.findall(r"^hash (\d+) (\w+)$", GOLDEN, re.MULTILINE)
        self.assertEqual(len(lines), 12)
        for length, expected in lines:
            data = bytes(n * 7 & 0xFF for n in range(int(length)))
            self.assertEqual(xxh3.digest(data), int(expected, 16), length)


if __name__ == "__main__":
    unittest.main()
