"""The decoder, without a server: the worked example of PROTOCOL.md, and bytes worked out by hand."""

import pathlib
import re
import unittest

import codec
import msgpack
from client import Client
from codec import BitReader, BitWriter, Bytes, Fault
from state import State

PAGE = (pathlib.Path(__file__).parents[2] / "PROTOCOL.md").read_text()


def example(name):
    """The bytes of a block of the page that is marked with this name."""
    found = re.search(rf"^```hex {name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return bytes.fromhex(found[1])


def bits(text):
    """The bytes of bits written in their order."""
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at:at + 8][::-1], 2) for at in range(0, len(text), 8))


def number(text, order):
    return BitReader(Bytes(bits(text))).number(order)


class Page(unittest.TestCase):
    def test_the_worked_example_decodes(self):
        state = State(msgpack.decode(example("schema")))
        full, delta = example("full"), example("delta")
        self.assertEqual((full[0], delta[0]), (1, 1))
        self.assertEqual(state.apply(full[1:])["full"], True)
        player = {"seat": 0, "name": "Ann", "connected": True}
        self.assertEqual(state.entities(), {0: {"Count": 0}, 2179328: {"Player": player}})
        self.assertEqual((state.tick, state.kinds), (301, ["whole"]))
        prelude = state.apply(delta[1:])
        self.assertEqual((prelude["action"], state.tick), (3, 1301))
        self.assertEqual((state.resource("Count"), state.kinds), (3, ["delta"]))

    def test_the_numbers_in_the_table_are_right(self):
        rows = re.findall(r"^\| (\d+) \|(.*)\|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
        checked = 0
        for value, *cells in rows:
            for order, cell in zip((0, 2, 12), map(str.strip, cells)):
                if re.fullmatch(r"`[01 ]+`", cell):
                    self.assertEqual(number(cell.strip("`"), order), int(value), cell)
                    writer = BitWriter()
                    writer.number(int(value), order)
                    self.assertEqual(writer.to_bytes(), bits(cell.strip("`")), cell)
                    checked += 1
        self.assertEqual(checked, 19)

    def test_the_control_messages_in_the_table_are_right(self):
        messages = {
            "Ping, nonce 7": {"Ping": {"nonce": 7}},
            "Leave": "Leave",
            'Refused, code 23, message "no"': {"Refused": {"code": 23, "message": "no"}},
        }
        for name, message in messages.items():
            row = re.search(rf"^\| {re.escape(name)} \| `(.*?)` \|$", PAGE, re.MULTILINE)
            data = bytes.fromhex(row[1])
            self.assertEqual(data, b"\0" + msgpack.encode(message))
            self.assertEqual(msgpack.decode(data[1:]), message)


class Numbers(unittest.TestCase):
    def test_varints(self):
        for value, data in ((0, "00"), (127, "7f"), (128, "8001"), (300, "ac02")):
            self.assertEqual(codec.write_varint(value).hex(), data)
            self.assertEqual(Bytes(bytes.fromhex(data)).varint(), value)
        most = (1 << 64) - 1
        self.assertEqual(Bytes(codec.write_varint(most)).varint(), most)
        for data in ("8000", "80", "ffffffffffffffffff02", "ffffffffffffffffffff01"):
            with self.assertRaises(Fault):
                Bytes(bytes.fromhex(data)).varint()

    def test_bits(self):
        for value in (0, 1, 2, 4095, 4096, codec.WORD_MAX):
            for order in (0, 2, 12):
                writer = BitWriter()
                writer.number(value, order)
                self.assertEqual(BitReader(Bytes(writer.to_bytes())).number(order), value)
        for text in ("1" * 33, "1" * 32 + "0" + "1" * 32):
            with self.assertRaises(Fault):
                number(text, 0)
        reader = BitReader(Bytes(b"\x02"))
        reader.bits(1)
        with self.assertRaises(Fault):
            reader.finish()

    def test_messagepack_of_every_size(self):
        texts = ["", "a" * 31, "a" * 32, "ä" * 300, "a" * 70_000]
        numbers = [0, 127, 128, 65535, 65536, (1 << 64) - 1, -1, -32, -33, -(1 << 63)]
        value = {"texts": texts, "numbers": numbers, "plain": [None, True, False, 0.5]}
        value["many"] = list(range(70_000))
        self.assertEqual(msgpack.decode(msgpack.encode(value)), value)
        for data in (b"\x91", b"\xa2a", b"\xcd\0", b"\xc1", b"\x01\x01", b""):
            with self.assertRaises(msgpack.MessagePackError):
                msgpack.decode(data)


INT = {"kind": "int", "min": -3, "span": 9}
WIDE = {"kind": "int", "min": 0, "span": (1 << 40)}
ANGLE = {"kind": "float", "min": 0.0, "max": 1.0, "step": 0.25, "wraps": True}
MARK = {"kind": "enum", "variants": [
    {"name": "X", "type": {"kind": "unit"}}, {"name": "Put", "type": INT}]}
ALL = {"kind": "struct", "fields": [{"name": name, "type": kind} for name, kind in {
    "int": INT, "wide": WIDE, "angle": ANGLE, "mark": MARK,
    "bool": {"kind": "bool"}, "f32": {"kind": "f32"}, "f64": {"kind": "f64"},
    "text": {"kind": "string", "max": 9}, "entity": {"kind": "entity"},
    "option": {"kind": "option", "of": INT}, "list": {"kind": "list", "of": INT, "max": 3},
    "array": {"kind": "array", "of": INT, "length": 2},
    "tuple": {"kind": "tuple", "items": [INT, {"kind": "unit"}]},
}.items()]}
VALUE = {
    "int": 6, "wide": 1 << 39, "angle": 0.75, "mark": {"Put": -3}, "bool": True, "f32": 0.5,
    "f64": 0.1, "text": "grün", "entity": 7, "option": None, "list": [1, 2], "array": [0, 1],
    "tuple": [5, None],
}


class Values(unittest.TestCase):
    def test_every_type_in_full(self):
        self.assertEqual(codec.read_value(ALL, codec.write_value(ALL, VALUE)), VALUE)

    def test_words(self):
        self.assertEqual(codec.words_of(WIDE, (1 << 39) + 5), [5, 1 << 7])
        self.assertEqual(codec.words_of({"kind": "string", "max": 9}, "abcde"),
                         [5, 0x64636261, 0x65])
        self.assertEqual(codec.words_of(ANGLE, 1.0), [0])
        self.assertEqual(codec.words_of(MARK, "X"), [0])

    def check_difference(self, kind, old, text, new):
        base, words = codec.words_of(kind, old), []
        reader = BitReader(Bytes(bits(text)))
        codec.read_difference(kind, base, reader, words)
        reader.finish()
        self.assertEqual(codec.value_of(kind, iter(words)), new)

    def test_differences(self):
        self.check_difference(INT, 2, "0", 2)
        self.check_difference(INT, 2, "1 0001", 5)
        byte = {"kind": "int", "min": 0, "span": 255}
        for text, new in (("1 1 0000", 99), ("1 1 1000", 101), ("1 1 0100", 98),
                          ("1 1 1100", 102), ("1 1 1111", 108), ("1 0 11111111", 255)):
            self.check_difference(byte, 100, text, new)
        word = {"kind": "int", "min": 0, "span": codec.WORD_MAX}
        self.check_difference(word, 0, "1 1 00000000", codec.WORD_MAX)
        self.check_difference(MARK, "X", "1 1 0110", {"Put": 3})
        self.check_difference({"kind": "option", "of": INT}, 1, "1 0", None)
        pair = {"kind": "tuple", "items": [INT, {"kind": "unit"}, MARK]}
        self.check_difference(pair, [0, None, "X"], "0 1 0", [0, None, "X"])

    def test_what_leaves_its_range_is_a_fault(self):
        for kind, text in ((INT, "0101"), (MARK, "1 0101"),
                           ({"kind": "list", "of": INT, "max": 2}, "11")):
            with self.assertRaises(Fault):
                codec.read_value(kind, bits(text))
        with self.assertRaises(Fault):
            self.check_difference({"kind": "int", "min": 0, "span": 255}, 0, "1 1 0000", None)


class Blocks(unittest.TestCase):
    SCHEMA = {"components": [{"name": "A", "type": INT}, {"name": "B", "type": {"kind": "bool"}}]}

    def frame(self, *blocks, flags=0):
        """A frame of blocks, each a header and bits in their order."""
        body = bytes([flags, 1])
        for header, text in blocks:
            body += codec.write_varint(header) + bits(text)
        return body

    def ids(self, *numbers):
        writer = BitWriter()
        for value in numbers:
            writer.number(value, 12)
        return "".join(f"{byte:08b}"[::-1] for byte in writer.to_bytes())[:writer.count]

    def test_what_leaves_one_group_for_another_stays(self):
        state = State(self.SCHEMA)
        entity = "0 10" + self.ids(9) + "1 01 1"
        state.apply(self.frame((1, "1 0 0 0" + entity), flags=1))
        self.assertEqual(state.entities(), {9: {"B": True}})
        gone = "0 100" + self.ids(9) + "0 0 00"
        there = "0 0 0" + entity
        state.apply(self.frame((0, gone), (6, there)))
        self.assertEqual(state.entities(), {9: {"B": True}})
        self.assertNotIn(9, state.groups[0])

    def test_a_renamed_entity_keeps_its_base(self):
        state = State(self.SCHEMA)
        state.apply(self.frame((1, "1 0 0 0 0 10" + self.ids(9) + "1 10 1000"), flags=1))
        self.assertEqual(state.entities(), {9: {"A": -2}})
        renamed = "100" + self.ids(9, 8) + "0 0" + "0 10" + self.ids(8) + "0 11 0 1"
        state.apply(self.frame((0, renamed)))
        self.assertEqual(state.entities(), {8: {"A": -2, "B": True}})

    def test_components_go_and_groups_are_left(self):
        state = State(self.SCHEMA)
        entity = "0 10" + self.ids(9) + "1 11 1000 1"
        state.apply(self.frame((1, "1 0 0 0" + entity), (7, "1 0 0 0" + entity), flags=1))
        state.apply(self.frame((0, "0 0 100" + self.ids(9) + "1 0 00")))
        self.assertEqual(state.groups[0][9], {0: [1]})
        state.apply(self.frame((7, "1 0 0 0 0 00")))
        self.assertEqual((state.kinds, state.groups[3]), (["whole"], {}))

    def test_nonsense_is_a_fault(self):
        for body in (b"", b"\x08\0", b"\0", b"\0\0\x08", self.frame((0, "1" * 40))):
            with self.assertRaises(Fault):
                State(self.SCHEMA).apply(body)


class Wire:
    """A connection that keeps what is sent."""

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message.hex())


class Frames(unittest.TestCase):
    NUMBER = {"name": "N", "type": {"kind": "int", "min": 0, "span": 65535}}
    UNIT = {"name": "U", "type": {"kind": "unit"}}

    def setUp(self):
        self.client = client = Client("ws://nowhere/g/m")
        client.socket, client.welcome = Wire(), {"incarnation": 1}
        client.schema = {name: [self.NUMBER, self.UNIT] for name in ("inputs", "actions", "events")}
        client.state = State(client.schema)
        client.frames = client.acked_frames = client.sample = 0
        client.ack_due = None

    def test_what_a_client_says(self):
        client = self.client
        client.applied, client.frames, client.received_event = 6, 5, 300
        client.act("U")
        client.act("N", 0x0201)
        client.input("N", 0xAA, tick=4)
        self.assertEqual(client.socket.sent, ["040701", "0408000102", "0305ac02010400aa00"])

    def test_actions_are_numbered_anew_after_each_welcome(self):
        client = self.client
        client.known = None

        def again(last_action):
            client.may_resume, client.frames, client.socket.sent = True, 0, []
            client._welcomed({"version": 1, "resumed": True, "incarnation": 1, "last_event": 0,
                              "last_action": last_action})
            client.may_resume = True
            client._frame(Bytes(bytes.fromhex("010001")))
            return client.socket.sent

        client.applied = 5
        for value in (1, 2, 3):
            client.act("N", value)
        self.assertEqual(client.socket.sent, ["0406000100", "0407000200", "0408000300"])
        self.assertEqual(again(6), ["0407000200", "0408000300"], "one was applied")
        self.assertEqual(again(2), ["0403000200", "0404000300"], "the room fell behind")
        client.act("U")
        self.assertEqual(client.socket.sent[-1], "040501")
        self.assertEqual(again(4), ["040501"], "two were applied")

    def test_events_wait_for_their_state(self):
        client = self.client
        client.received_event = 2
        client._frame(Bytes(bytes.fromhex("0203080002010201 00")))
        self.assertEqual(client.events, [])
        client.may_resume = True
        client.state.tick = 7
        client._frame(Bytes(bytes.fromhex("010001")))
        self.assertEqual(client.events, [(8, "N", 0x0201), (8, "U", None)])
        client._frame(Bytes(bytes.fromhex("0204080100")))
        self.assertEqual((len(client.events), client.received_event), (2, 4), "it was there before")
        with self.assertRaises(Fault):
            client._frame(Bytes(bytes.fromhex("0206080100")))


if __name__ == "__main__":
    unittest.main()
