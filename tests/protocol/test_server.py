"""The client of PROTOCOL.md against a real server: REFEREE_SERVER names its program."""

import multiprocessing
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import codec
import msgpack
from client import Client, Refused
from websocket import Closed, WebSocket

SERVER = os.environ.get("REFEREE_SERVER")
STOPPED_WITHIN_S = 20

# Codes of refusals.
LEFT, BAD_MESSAGE, VERSION = 2, 10, 12
UNKNOWN_GAME, BAD_MATCH_ID, FULL, ORIGIN, REPLACED = 20, 21, 23, 25, 31


class Server:
    """A running server, on a free port."""

    def __init__(self, data):
        command = [SERVER, "--test-mode", "--port", "0", "--data", data]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = None
        while found is None:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the server ended with {self.process.wait()}")
            found = re.search(r"http://[^\s/:]+:(\d+)", line)
        self.base = f"ws://127.0.0.1:{found[1]}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOPPED_WITHIN_S)
        self.process.stdout.close()


class AgainstServer(unittest.TestCase):
    def setUp(self):
        if not SERVER:
            self.fail("set REFEREE_SERVER to the server's program, target/release/referee-examples")
        data = tempfile.TemporaryDirectory()
        self.addCleanup(data.cleanup)
        self.data = data.name
        self.server = Server(self.data)
        self.addCleanup(lambda: self.server.stop())

    def join(self, path, **options):
        client = Client(f"{self.server.base}/{path}", **options).connect()
        self.addCleanup(lambda: client.drop())
        return client

    def refused(self, path, **options):
        with self.assertRaises(Refused) as caught:
            self.join(path, **options)
        return caught.exception.code

    def test_the_command_line(self):
        program = pathlib.Path(__file__).with_name("client.py")
        command = [sys.executable, program, f"{self.server.base}/counter/cli"]
        command += ["--press", "3", "--expect", "Count=3", "--name", "Ann"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        self.assertIn('room {"Count": 3}', said.stdout)
        self.assertIn('{"seat": 0, "name": "Ann", "connected": true}', said.stdout)

    def test_what_one_presses_all_see(self):
        ann, bo = self.join("counter/a", name="Ann"), self.join("counter/a", name="Bo")
        self.assertEqual((ann.welcome["seat"], bo.welcome["seat"]), (0, 1))
        self.assertEqual(bo.me()["Player"], {"seat": 1, "name": "Bo", "connected": True})
        for _ in range(5):
            ann.act("Press")
            bo.act("Press")
        for client in (ann, bo):
            client.wait_resource("Count", 10)
            self.assertEqual(client.fulls, [True] + [False] * (len(client.fulls) - 1))
        ann.wait(lambda: not ann.actions, "the end of the last action")
        ann.leave()
        with self.assertRaises(Refused) as caught:
            ann.wait(lambda: False, "the answer to Leave")
        self.assertEqual(caught.exception.code, LEFT)
        bo.wait(lambda: len(bo.state.entities()) == 2, "the end of Ann's entity")

    def test_a_seat_is_kept_over_a_lost_connection(self):
        ann, bo = self.join("counter/b", name="Ann"), self.join("counter/b")
        ann.act("Press")
        ann.wait_resource("Count", 1)
        ann.drop()
        # In the same state her player shows that she is away, so the room knows it.
        away = {"seat": 0, "name": "Ann", "connected": False}
        bo.wait(lambda: any(e.get("Player") == away for e in bo.state.entities().values()), "away")
        bo.act("Press")
        bo.wait_resource("Count", 2)
        seen = len(ann.fulls)
        ann.connect()
        self.assertEqual((ann.welcome["seat"], ann.welcome["resumed"]), (0, True))
        self.assertEqual(ann.welcome["last_action"], 1)
        self.assertEqual(ann.fulls[seen], False, "she gets what changed, and no more")
        self.assertEqual(ann.state.resource("Count"), 2)
        self.assertEqual(ann.me()["Player"]["connected"], True)
        self.assertEqual(sorted(ann.state.entities()), sorted(bo.state.entities()))
        ann.act("Press")
        bo.wait_resource("Count", 3)

    def test_a_second_connection_takes_the_seat(self):
        first = self.join("counter/c")
        first.act("Press")
        first.wait_resource("Count", 1)
        second = Client(first.url)
        second.welcome = first.welcome
        second.connect(resume=False)
        self.addCleanup(second.drop)
        self.assertEqual((second.welcome["resumed"], second.fulls), (True, [True]))
        with self.assertRaises(Refused) as caught:
            first.wait(lambda: False, "the end of the first connection")
        self.assertEqual(caught.exception.code, REPLACED)

    def test_rooms_and_seats_outlive_the_server(self):
        ann = self.join("counter/d", name="Ann")
        before = ann.welcome
        ann.act("Press")
        ann.wait_resource("Count", 1)
        self.server.stop()
        with self.assertRaises((Refused, Closed)):
            ann.wait(lambda: False, "the end of the connection")
        self.server = Server(self.data)
        ann.url = f"{self.server.base}/counter/d"
        ann.connect()
        self.assertEqual((ann.welcome["resumed"], ann.welcome["seat"]), (True, 0))
        self.assertNotEqual(ann.welcome["incarnation"], before["incarnation"])
        # Nothing was lost, so what changed meanwhile is enough.
        self.assertEqual((ann.fulls[-1], ann.state.resource("Count")), (False, 1))
        ann.act("Press")
        ann.wait_resource("Count", 2)

    def test_a_crash_takes_back_nothing_that_a_gated_game_has_shown(self):
        ann = self.join("counter/k", name="Ann")
        for number in range(1, 61):
            ann.act("Press")
            ann.wait_resource("Count", number)
        self.server.kill()
        self.server = Server(self.data)
        ann.url = f"{self.server.base}/counter/k"
        ann.connect()
        self.assertEqual((ann.welcome["resumed"], ann.welcome["seat"]), (True, 0))
        self.assertEqual((ann.fulls[-1], ann.state.resource("Count")), (False, 60))

    def test_endless_fragments_keep_no_thread_busy(self):
        ann = self.join("counter/f", name="Ann")
        over = threading.Event()

        def flood(says_hello):
            raw = WebSocket(f"{self.server.base}/counter/f")
            if says_hello:
                raw.send(b"\0" + msgpack.encode({"Hello": {"versions": [1]}}))
            try:
                raw._socket.sendall(b"\x02\x80\0\0\0\0")
                while not over.is_set():
                    raw._socket.sendall(b"\x00\x80\0\0\0\0" * 4000)
            except OSError:
                pass

        for says_hello in (True, False):
            over.clear()
            attack = multiprocessing.Process(target=flood, args=(says_hello,), daemon=True)
            attack.start()
            self.addCleanup(attack.kill)
            for _ in range(10):
                begun = time.monotonic()
                count = ann.state.resource("Count")
                ann.act("Press")
                ann.wait_resource("Count", count + 1)
                self.join("counter/f").leave()
                self.assertLess(time.monotonic() - begun, 2)
                time.sleep(0.2)
            attack.kill()

    def test_tic_tac_toe_to_a_win(self):
        players = [self.join("tic-tac-toe/a", name=name) for name in ("Ann", "Bo")]
        watcher = self.join("tic-tac-toe/a", watch=True)
        self.assertEqual([p.welcome["seat"] for p in (*players, watcher)], [0, 1, None])
        marks = [player.me()["Mark"] for player in players]
        self.assertEqual(sorted(marks), ["O", "X"])
        in_turn = sorted(players, key=lambda player: player.me()["Mark"], reverse=True)
        cells = [None] * 9
        for turn, cell in enumerate((4, 0, 2, 1, 6)):
            player, mark = in_turn[turn % 2], "XO"[turn % 2]
            player.act("Place", {"cell": cell})
            cells[cell] = mark
            for client in (*players, watcher):
                def placed():
                    return client.state.resource("Board")["cells"] == cells
                client.wait(placed, f"{mark} in cell {cell}")
        for client in (*players, watcher):
            self.assertEqual(client.state.resource("Board")["outcome"], {"Won": "X"})
        players[1].act("Rematch")
        fresh = {"cells": [None] * 9, "turn": "O", "outcome": None, "round": 1}
        watcher.wait_resource("Board", fresh)

    def check_matches(self, clients, play, enough, seconds=60):
        """Plays until all clients have compared enough of their states with what the room shows."""
        until = time.monotonic() + seconds
        while min(client.checked for client in clients) < enough:
            self.assertLess(time.monotonic(), until, [client.checked for client in clients])
            for client in clients:
                play(client)
                client.listen(0.01)

    def test_an_arena_is_seen_as_it_is(self):
        names = ("Ann", "Bo", "Cy", "Di")
        players = [self.join("arena/a", name=name, check=True) for name in names]
        watcher = self.join("arena/a", watch=True, check=True)
        draw = random.Random(5)

        def play(client):
            if client is watcher or draw.random() < 0.8:
                return
            stick = client.schema["inputs"][0]
            values = {field["name"]: codec.value_of(field["type"], iter([draw.randrange(120)]))
                      for field in stick["type"]["fields"] if field["name"] != "fire"}
            client.input(stick["name"], values | {"fire": draw.random() < 0.5})

        clients = [*players, watcher]
        self.check_matches(clients, play, 60)
        self.assertGreater(players[0].kinds["delta"], 30)
        # Who did not listen is told what changed since, not everything; and so is who comes back.
        for n in range(3):
            time.sleep(0.7)
            players[0].drop()
            self.check_matches(clients[1:], play, 80 + 20 * n)
            players[0].connect()
            self.check_matches(clients, play, 80 + 20 * n)
        self.assertGreater(players[0].kinds["since"] + watcher.kinds["since"], 0)
        # Each knows which ship is its own. Where they are says nothing: two may lie in one corner.
        self.assertEqual([player.me()["Player"]["name"] for player in players], list(names))
        self.assertTrue(all("Position" in player.me() for player in players))
        moved = {str(entity) for entity in watcher.state.entities().values()}
        self.check_matches(clients, play, 150)
        self.assertNotEqual(moved, {str(entity) for entity in watcher.state.entities().values()})

    def test_each_player_sees_the_own_cards_alone(self):
        players = [self.join("cards/a", name=name, check=True) for name in ("Ann", "Bo")]
        players[0].act("Deal")

        def hand(client):
            return {entity: of["Card"] for entity, of in client.state.entities().items()
                    if "Hand" in of.get("Card", {}).get("place", {})}

        for player in players:
            player.wait(lambda: len(hand(player)) == 5, "a hand")
        for turn in range(40):
            seat = players[0].state.resource("Table")["turn"]
            if seat is None:
                players[0].act("Deal")
            elif turn % 3:
                player = players[seat]
                player.act("Lay", {"card": min(hand(player)), "suit": "Hearts"})
                player.wait(lambda: not player.actions, "the end of the action")
            if seat is not None:
                players[seat].act("Draw")
            for player in players:
                player.listen(0.05)
        for player in players:
            self.assertGreater(player.checked, 15)
            seats = {card["place"]["Hand"] for card in hand(player).values()}
            self.assertLessEqual(seats, {player.welcome["seat"]})

    def test_refusals_have_codes(self):
        self.assertEqual(self.refused("no-such-game/a"), UNKNOWN_GAME)
        self.assertEqual(self.refused(f"counter/{'x' * 65}"), BAD_MATCH_ID)
        self.assertEqual(self.refused("counter/e", watch=True), FULL, "it has no spectators")
        foreign = {"Origin": "https://elsewhere.example"}
        self.assertEqual(self.refused("counter/e", headers=foreign), ORIGIN)
        newer = Client(f"{self.server.base}/counter/e")
        newer.hello["versions"] = [9999]
        with self.assertRaises(Refused) as caught:
            newer.connect()
        self.assertEqual(caught.exception.code, VERSION)
        # The close code says the same as the message before it.
        socket = WebSocket(f"{self.server.base}/counter/e")
        socket.send(b"\x09 no such lane")
        until = time.monotonic() + 10
        self.assertEqual(socket.receive(until)[:10], b"\0\x81\xa7Refused")
        with self.assertRaises(Closed) as closed:
            socket.receive(until)
        self.assertEqual(closed.exception.code, 4000 + BAD_MESSAGE)


if __name__ == "__main__":
    unittest.main()
