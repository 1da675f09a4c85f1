"""Numbers, values and frames, without a server: bytes worked out by hand."""

import pathlib
import re
import unittest

import codec
import msgpack
from client import Client
from codec import BitReader, BitWriter, Bytes, Fault
from state import State

PAGE = (pathlib.Path(__file__).parents[2] / "PROTOCOL.md").read_text()


def bits(text):
    """The bytes of bits written in their order."""
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at:at + 8][::-1], 2) for at in range(0, len(text), 8))


class Page(unittest.TestCase):
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
        writer = BitWriter()
        for value, count in ((5, 3), (0, 0), (codec.WORD_MAX, 32), (1, 1)):
            writer.bits(value, count)
        self.assertEqual(writer.to_bytes(), bits("101" + "1" * 32 + "1"))
        reader = BitReader(Bytes(b"\x02"))
        reader.bits(1)
        with self.assertRaises(Fault):
            reader.finish()
        with self.assertRaises(Fault):
            BitReader(Bytes(b"\x02")).bits(9)

    def test_messagepack_of_every_size(self):
        texts = ["", "a" * 31, "a" * 32, "ä" * 300, "a" * 70_000]
        numbers = [0, 127, 128, 65535, 65536, (1 << 64) - 1, -1, -32, -33, -(1 << 63)]
        value = {"texts": texts, "numbers": numbers, "plain": [None, True, False, 0.5]}
        value["bytes"] = [b"", bytes(255), bytes(256), bytes(70_000)]
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
    "turn": {"kind": "rotation", "bits": 9},
}.items()]}
TURN = codec.value_of({"kind": "rotation", "bits": 9}, iter([3, 256, 100, 300]))
VALUE = {
    "int": 6, "wide": 1 << 39, "angle": 0.75, "mark": {"Put": -3}, "bool": True, "f32": 0.5,
    "f64": 0.1, "text": "grün", "entity": 7, "option": None, "list": [1, 2], "array": [0, 1],
    "tuple": [5, None], "turn": TURN,
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

    def test_rotations(self):
        turn = {"kind": "rotation", "bits": 9}
        same = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
        self.assertEqual(codec.words_of(turn, same), [3, 256, 256, 256])
        half = {"x": 0.0, "y": -2.0, "z": 0.0, "w": -2.0}
        words = codec.words_of(turn, half)
        self.assertEqual(words, [1, 256, 256, 511])
        self.assertAlmostEqual(codec.value_of(turn, iter(words))["y"], 0.7071, 2)
        self.assertEqual(codec.words_of(turn, same | {"w": 0.0}), [3, 256, 256, 256])
        for least in ([0, 0, 0, 0], [2, 511, 511, 511]):
            self.assertEqual(codec.value_of(turn, iter(least))["xyzw"[least[0]]], 0)

    def test_what_leaves_its_range_is_a_fault(self):
        for kind, text in ((INT, "0101"), (MARK, "1 0101"),
                           ({"kind": "list", "of": INT, "max": 2}, "11")):
            with self.assertRaises(Fault):
                codec.read_value(kind, bits(text))


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
        client.schema |= {"kind": "realtime", "components": []}
        client.state = State(client.schema, msgpack.encode(client.schema), 30)
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
            client._frame(bytes.fromhex("01"))
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
        client._frame(bytes.fromhex("0203080002010201 00"))
        self.assertEqual(client.events, [])
        client.may_resume = True
        client.state.tick = 7
        client._frame(bytes.fromhex("01"))
        self.assertEqual(client.events, [(8, "N", 0x0201), (8, "U", None)])
        client._frame(bytes.fromhex("0204080100"))
        self.assertEqual((len(client.events), client.received_event), (2, 4), "it was there before")
        with self.assertRaises(Fault):
            client._frame(bytes.fromhex("0206080100"))


if __name__ == "__main__":
    unittest.main()
