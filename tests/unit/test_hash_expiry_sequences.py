"""Random commands on hashes while time passes, beside a plain model; a replica that is fed with the stream ends up equal."""

from __future__ import annotations

import random

from twisted.internet.task import Clock

from replicad.config import load
from replicad.dispatch import run
from replicad.replication.applier import Applier
from replicad.replication.stream import StreamReader
from replicad.replication.upstream import Upstream
from replicad.server import Server
from tests.unit.test_hash_expiry import HashExpiryTestCase

FIELDS = ["a", "b", "c", "d"]


class Model:
    """What one hash should hold: field -> [number, deadline or None]."""

    def __init__(self) -> None:
        self.fields: dict[str, list[int | None]] = {}
        self.now_ms = 0

    def purge(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.fields = {name: row for name, row in self.fields.items() if row[1] is None or row[1] >= now_ms}

    def hset(self, name: str, number: int) -> str:
        new = name not in self.fields
        self.fields[name] = [number, None]
        return f":{int(new)}"

    def hincrby(self, name: str, number: int) -> str:
        row = self.fields.setdefault(name, [0, None])
        row[0] = (row[0] or 0) + number
        return f":{row[0]}"

    def hdel(self, name: str) -> str:
        return f":{int(self.fields.pop(name, None) is not None)}"

    def give(self, name: str, ttl_ms: int) -> int:
        if ttl_ms == 0:
            del self.fields[name]
            return 2
        self.fields[name][1] = self.now_ms + ttl_ms
        return 1

    def hpexpire(self, name: str, ttl_ms: int, condition: str) -> str:
        if name not in self.fields:
            return "*1 :-2"
        old, new = self.fields[name][1], self.now_ms + ttl_ms
        allowed = {
            "": True,
            "NX": old is None,
            "XX": old is not None,
            "GT": old is not None and new > old,
            "LT": old is None or new < old,
        }[condition]
        return f"*1 :{self.give(name, ttl_ms) if allowed else 0}"

    def hpersist(self, name: str) -> str:
        if name not in self.fields:
            return "*1 :-2"
        had, self.fields[name][1] = self.fields[name][1], None
        return "*1 :-1" if had is None else "*1 :1"

    def hpttl(self, name: str) -> str:
        if name not in self.fields:
            return "*1 :-2"
        at_ms = self.fields[name][1]
        return f"*1 :{-1 if at_ms is None else at_ms - self.now_ms}"

    def content(self, name: str) -> str:
        if name not in self.fields:
            return "*1 $-1"
        text = str(self.fields[name][0])
        return f"*1 ${len(text)} {text}"

    def hgetex(self, name: str, ttl_ms: int | None) -> str:
        found = self.content(name)
        if name in self.fields:
            if ttl_ms is None:
                self.fields[name][1] = None
            else:
                self.give(name, ttl_ms)
        return found

    def hgetdel(self, name: str) -> str:
        found = self.content(name)
        self.fields.pop(name, None)
        return found

    def hsetex(self, name: str, number: int, condition: str, keep: bool, ttl_ms: int | None) -> str:
        there = name in self.fields
        if (condition == "FNX" and there) or (condition == "FXX" and not there):
            return ":0"
        old = self.fields[name][1] if there else None
        self.fields[name] = [number, old if keep else None]
        if ttl_ms is not None:
            self.give(name, ttl_ms)
        return ":1"


class Sequences(HashExpiryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.replica = Server(load(None, [("databases", "4"), ("save", "")]), Clock())
        self.replica.log.stream = self.server.log.stream
        upstream = self.replica.replication.upstream = Upstream(self.replica, "127.0.0.1", 1, 0)
        self.applier = Applier(self.replica, upstream.client, lambda: None)
        self.replica.update_gates()

    def step(self, chance: random.Random, key: str, model: Model) -> tuple[str, str]:
        """One command and the reply that the model gives."""
        name, number, ttl_ms = chance.choice(FIELDS), chance.randrange(100), chance.choice((0, 5, 20, 40, 10000))
        choice = chance.randrange(10)
        if choice == 0:
            return f"HSET {key} {name} {number}", model.hset(name, number)
        if choice == 1:
            return f"HINCRBY {key} {name} {number}", model.hincrby(name, number)
        if choice == 2:
            return f"HDEL {key} {name}", model.hdel(name)
        if choice < 5:
            condition = chance.choice(("", "NX", "XX", "GT", "LT"))
            return f"HPEXPIRE {key} {ttl_ms} {condition} FIELDS 1 {name}", model.hpexpire(name, ttl_ms, condition)
        if choice == 5:
            return f"HPERSIST {key} FIELDS 1 {name}", model.hpersist(name)
        if choice == 6:
            return f"HPTTL {key} FIELDS 1 {name}", model.hpttl(name)
        if choice == 7:
            if chance.random() < 0.5:
                return f"HGETEX {key} PERSIST FIELDS 1 {name}", model.hgetex(name, None)
            return f"HGETEX {key} PX {ttl_ms} FIELDS 1 {name}", model.hgetex(name, ttl_ms)
        if choice == 8:
            return f"HGETDEL {key} FIELDS 1 {name}", model.hgetdel(name)
        condition, how = chance.choice(("", "FNX", "FXX")), chance.choice(("", "KEEPTTL", f"PX {ttl_ms}"))
        given_ms = ttl_ms if how.startswith("PX") else None
        reply = model.hsetex(name, number, condition, how == "KEEPTTL", given_ms)
        return f"HSETEX {key} {condition} {how} FIELDS 1 {name} {number}", reply

    def test_sequences(self) -> None:
        reader = StreamReader()
        position = 0
        for seed in range(40):
            chance = random.Random(seed)
            models = {"h": Model(), "g": Model()}
            self.do("FLUSHALL")
            for number in range(120):
                self.pass_ms(chance.choice((0, 0, 1, 7, 19)))
                for model in models.values():
                    model.purge(self.server.clock.now_ms)
                key = chance.choice(("h", "g"))
                line, reply = self.step(chance, key, models[key])
                self.assertEqual(self.do(line), reply, f"seed {seed}, command {number}: {line}")
                self.assertEqual(self.do(f"HLEN {key}"), f":{len(models[key].fields)}", f"seed {seed}, {number}: {line}")
            for key in models:
                self.do(f"HLEN {key}")
            self.applier.apply(reader.feed(self.server.history.since(position)))
            position = self.server.history.offset
            self.assertEqual(self.replica.errors, {})
            for key, model in models.items():
                ours, theirs = self.db.peek(key.encode()), self.replica.databases[0].peek(key.encode())
                self.assertEqual(ours, theirs)
                expected = {name.encode(): str(row[0]).encode() for name, row in model.fields.items()}
                self.assertEqual(dict(ours or {}), expected)

    def test_the_model_is_not_blind(self) -> None:
        model = Model()
        model.purge(5)
        self.assertEqual((model.hset("a", 1), model.hpexpire("a", 10, ""), model.hpttl("a")), (":1", "*1 :1", "*1 :10"))
        model.purge(16)
        self.assertEqual(model.hpttl("a"), "*1 :-2")
        self.assertEqual(run(self.client, [[b"HPTTL", b"h", b"FIELDS", b"1", b"a"]]), b"*1\r\n:-2\r\n")
