"""The commands about expiry beside a real redis-server."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Argument
from tests.support.sequences import sequences
from tests.support.servers import wait_until
from tests.support.twohead import TwoHeadedTestCase

BIG = str(2**63 - 1)
SMALL = str(-(2**63))
FAR = 4102444800  # the year 2100


class Expiry(TwoHeadedTestCase):
    """EXPIRE, TTL, PERSIST and their variants."""

    def test_expire_and_ttl(self) -> None:
        self.do_all(
            "EXPIRE k 10", "TTL k", "PTTL k", "EXPIRETIME k", "PEXPIRETIME k", "PERSIST k", "SET k v", "TTL k",
            "PTTL k",
            "EXPIRETIME k", "PEXPIRETIME k", "PERSIST k", "EXPIRE k 100", "TTL k", "PERSIST k", "TTL k",
            "PEXPIRE k 99400",
            "TTL k", f"EXPIREAT k {FAR}", "EXPIRETIME k", "PEXPIRETIME k", f"PEXPIREAT k {FAR}499", "EXPIRETIME k",
            f"PEXPIREAT k {FAR}500", "EXPIRETIME k", "PEXPIRETIME k",
        )  # fmt: skip
        self.do_approx("PTTL", "k", delta=1000)
        for name in ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"):
            self.do_all(f"{name}", f"{name} k", f"{name} k x", f"{name} k 1.5", f"{name} k 99999999999999999999")
            for key in ("k", "missing"):
                self.do_all(f"{name} {key} {BIG}", f"{name} {key} {int(BIG) // 1000}",
                            f"{name} {key} {int(BIG) // 1000 + 1}",
                            f"PEXPIRETIME {key}", f"{name} {key} {SMALL}", "SET k v")  # fmt: skip
            for moment in (0, -1, 1, -1000):
                if moment == 1 and not name.endswith("AT"):
                    continue
                self.do_all("SET k v", f"{name} k {moment}", "EXISTS k")
        self.do_all("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST", "TTL a b", "PERSIST a b")
        self.same_digest()

    def test_conditions(self) -> None:
        self.do("SET", "k", "v")
        for conditions in ("NX", "XX", "GT", "LT", "XX GT", "XX LT", "gt xx", "NX XX", "NX GT", "NX LT", "GT LT",
                           "XX GT LT",
                           "FOO", "NX FOO", "NX NX", "XX XX", "NX XX GT LT"):  # fmt: skip
            for start in (None, 1000):
                for seconds in (500, 1000, 2000, -1):
                    # The same time from now is another moment on a server that is a millisecond behind.
                    for name, unit in (("EXPIRE", 1), ("PEXPIRE", 1000)) if seconds != start else ():
                        self.do("SET", "k", "v")
                        if start is not None:
                            self.do("EXPIRE", "k", start)
                        self.do(name, "k", seconds * unit, *conditions.split())
                        self.do("TTL", "k")
                    moment = FAR + seconds
                    self.do("SET", "k", "v")
                    if start is not None:
                        self.do("EXPIREAT", "k", FAR + start)
                    self.do("EXPIREAT", "k", moment, *conditions.split())
                    self.do("PEXPIREAT", "k", moment * 1000 + 1, *conditions.split())
                    self.do("PEXPIRETIME", "k")
            self.do("EXPIRE", "missing", 10, *conditions.split())
            self.do("EXPIRE", "missing", "x", *conditions.split())
        self.same_digest()

    def test_keys_vanish(self) -> None:
        for number in range(20):
            self.do("SET", f"k{number}", "v", "PX", 40)
        self.do("RPUSH", "l", "a")
        self.do("PEXPIRE", "l", 40)
        self.do("SET", "stays", "v")
        time.sleep(0.06)
        self.do_all("GET k1", "EXISTS k2", "TYPE l", "LRANGE l 0 -1", "TTL k3", "RPUSH l b", "TTL l")
        self.do_sorted("KEYS", "*")
        for connection in (self.pair.real, self.pair.ours):
            wait_until(lambda: connection.must("DBSIZE") == 2, 5, "expired keys are deleted")  # noqa: B023
        self.same_digest()

    def test_nothing_dies_in_a_pause(self) -> None:
        """While writes are paused an expired key is hidden and stays: the replicas would get its deletion."""
        self.do_all("CONFIG RESETSTAT", "SET k v PX 30", "CLIENT PAUSE 5000 WRITE")
        time.sleep(0.3)
        self.do_all("GET k", "EXISTS k", "DBSIZE", "CLIENT UNPAUSE", "GET k", "DBSIZE")

    def test_every_kind_of_write_to_an_expired_key(self) -> None:
        self.do_all("SET k v", "PEXPIREAT k 1", "EXISTS k")
        for command in ("EXPIRE k 10", "PERSIST k", "TTL k", "RENAME k j", "COPY k j", "MOVE k 1", "DEL k",
                        "SORT k", "DUMP k",
                        "GETEX k PERSIST", "SADD k a", "HSET k f v", "ZADD k 1 a", "LPUSH k a"):  # fmt: skip
            self.do_all("SET k v PXAT 1", tuple(command.split()), "TYPE k", "TTL k", "DEL k")
        self.same_digest()

    @sequences(100)
    @given(st.data())
    def test_random_sequences(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        key = st.sampled_from(["a", "b"])
        moment = st.sampled_from([FAR, FAR + 1, FAR + 100, 1, -1])
        condition = st.sampled_from(["NX", "XX", "GT", "LT"])
        command: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.tuples(st.just("SET"), key, st.just("v")),
            st.tuples(st.just("SET"), key, st.just("v"), st.just("KEEPTTL")),
            st.tuples(st.just("EXPIREAT"), key, moment),
            st.tuples(st.just("EXPIREAT"), key, moment, condition),
            st.tuples(st.just("PEXPIREAT"), key, moment.map(lambda seconds: seconds * 1000 + 7), condition),
            st.tuples(st.just("GETEX"), key, st.just("EXAT"), moment),
            st.tuples(st.sampled_from(["PERSIST", "PEXPIRETIME", "GETDEL", "EXISTS", "APPEND"]), key),
            st.tuples(st.sampled_from(["APPEND", "GETSET", "RENAME", "COPY"]), key, st.sampled_from(["a", "b", "c"])),
        )
        for args in data.draw(st.lists(command, min_size=1, max_size=40)):
            self.do(*args)
        self.same_digest()
