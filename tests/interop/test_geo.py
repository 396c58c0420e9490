"""The geo commands beside a real redis-server: scores, coordinates and distances to the last digit, the same order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Argument
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase

SICILY = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.5 37.8 Marsala"
BIG = str(2**63 - 1)
UNITS = ("m", "km", "ft", "mi")
REACHES = (0, 1e-3, 1, 50, 3000, 80_000, 444_000, 2e6, 5e6, 9e6, 1.2e7, 1.9e7, 2.1e7, 1e9)


def anywhere(chance: random.Random) -> tuple[float, float]:
    """A place on the map, sometimes at its edges."""
    if chance.random() < 0.15:
        longitude = chance.choice((-180.0, 180.0, 0.0, 179.999999, -179.999999, 90.0))
        latitude = chance.choice((-85.05112878, 85.05112878, 0.0, 85.0511, -85.0511, 66.0, 80.0, -80.1, 66.51326044311186))
        return longitude, latitude
    return chance.uniform(-180, 180), chance.uniform(-85.05112878, 85.05112878)


class Geo(TwoHeadedTestCase):
    """Good calls, each option, wrong types, wrong arity, missing keys, limits."""

    def fill(self, chance: random.Random, size: int, key: str = "g") -> None:
        """Places all over the world, in clusters and alone."""
        arguments: list[Argument] = []
        while len(arguments) < 3 * size:
            longitude, latitude = anywhere(chance)
            for _ in range(chance.choice((1, 1, 5))):
                spread = chance.choice((0.0, 1e-5, 0.01, 3.0))
                x = max(-180.0, min(180.0, longitude + chance.uniform(-spread, spread)))
                y = max(-85.05112878, min(85.05112878, latitude + chance.uniform(-spread, spread)))
                arguments += [repr(x), repr(y), f"m{len(arguments) // 3}"]
        self.do("GEOADD", key, *arguments)

    def test_add(self) -> None:
        self.do_all(
            "GEOADD", "GEOADD g", "GEOADD g 1 2", "GEOADD g 1 2 a 3", "GEOADD g NX XX 1 2 a", "GEOADD g NX CH 1 2",
            "GEOADD g NX CH CH", "GEOADD g FOO 1 2 a", "GEOADD g 1 2 a NX 3 4 b", "GEOADD g GT 1 2 a",
            "GEOADD g INCR 1 2 a", "GEOADD g 200 2 a", "GEOADD g 2 86 a", "GEOADD g x 2 a", "GEOADD g 2 x a",
            "GEOADD g nan 2 a", "GEOADD g inf 2 a", "GEOADD g 1 -inf a", "GEOADD g 1e30 2 a", "GEOADD g 1 2 a x y b",
            "GEOADD g 1 200 a x y b", "EXISTS g", SICILY, SICILY, "GEOADD g NX 1 1 Palermo",
            "GEOADD g XX CH 13.4 38 Palermo 1 1 new", "GEOADD g nx ch 1 1 new", "GEOADD g CH 1 1 new 1 1 new 2 2 new",
            "GEOADD g xx 1 1 none", "GEOADD h 180 85.05112878 a -180 -85.05112878 b",
            "GEOADD h 180 -85.05112878 c -180 85.05112878 d 0 0 e -0 -0.0 f", "GEOADD h 1 85.05112879 x",
            "GEOADD h 180.0000001 1 x", "GEOADD h 0x10 0x1p3 hex", "ZRANGE h 0 -1 WITHSCORES",
            "ZRANGE g 0 -1 WITHSCORES", "SET s x", "GEOADD s 1 1 a", "GEOADD s 1 x a", "ZADD z 5 a", "GEOADD z 1 1 a",
            "EXPIRE z 100", "GEOADD z 2 2 a", "TTL z", "GEOADD g XX XX NX 1 1 a",
        )  # fmt: skip
        self.same_digest()

    def test_ask(self) -> None:
        self.do_all(
            SICILY, "GEOPOS", "GEOPOS g", "GEOPOS missing", "GEOPOS missing a b", "GEOPOS g Palermo none Catania",
            "GEOHASH", "GEOHASH g", "GEOHASH missing", "GEOHASH missing a b", "GEOHASH g Palermo none Catania",
            "GEODIST", "GEODIST g Palermo", "GEODIST g Palermo Catania", "GEODIST g Palermo Palermo",
            "GEODIST g Palermo none", "GEODIST g none Palermo", "GEODIST missing a b", "GEODIST missing a b foo",
            "GEODIST g Palermo Catania foo", "GEODIST g Palermo none foo", "GEODIST g Palermo Catania km x",
            "GEODIST g Palermo Catania km km", "SET s x", "GEOPOS s a", "GEOHASH s a", "GEODIST s a b",
            "GEODIST s a b foo", "GEODIST g Palermo Catania M", "GEODIST g Palermo Catania Km",
            "GEODIST g Palermo Catania ft", "GEODIST g Palermo Catania mI", "GEODIST g Palermo Marsala mi",
        )  # fmt: skip

    def test_odd_scores(self) -> None:
        """Sorted sets that no GEOADD made."""
        scores = (
            "-1 0 0.9 -0.9 1e300 -1e300 inf -inf 18446744073709551615 9223372036854775807 123456789012345678 3 "
            "4503599627370495 4503599627370496 4503599627370497 9007199254740993 -9223372036854775808 13510798882111488"
        ).split()
        self.do("ZADD", "w", *[part for score in scores for part in (score, f"m{score}")])
        for score in scores:
            self.do("GEOPOS", "w", f"m{score}")
            self.do("GEOHASH", "w", f"m{score}")
            self.do("GEODIST", "w", f"m{score}", "m0", "km")
            self.do("GEOSEARCH", "w", "FROMMEMBER", f"m{score}", "BYRADIUS", 100, "km", "WITHHASH", "WITHCOORD", "WITHDIST")
        for radius in REACHES:
            self.do("GEORADIUS", "w", 0, 0, radius, "m", "WITHHASH", "WITHCOORD", "WITHDIST")

    def test_options(self) -> None:
        around = "GEORADIUS g 15 37 200 km"
        search = "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km"
        store = "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km"
        words = (
            "", "ASC", "DESC", "asc desc", "DESC ASC", "COUNT 1", "count 2 desc", "COUNT", "COUNT 0", "COUNT -1",
            "COUNT x", "COUNT 1.5", f"COUNT {BIG}", f"COUNT {BIG}0", "ANY", "COUNT 1 ANY", "ANY COUNT 1",
            "COUNT 2 ANY DESC", "COUNT 2 COUNT 1", "COUNT ANY 1", "WITHDIST", "WITHHASH", "WITHCOORD",
            "withcoord withdist withhash", "WITHDIST WITHDIST", "FOO", "STORE", "STOREDIST", "STORE e", "STOREDIST e",
            "STORE e STOREDIST f", "STOREDIST e STORE f", "STORE e WITHDIST", "STORE e WITHHASH",
            "WITHCOORD STOREDIST e", "STORE e COUNT 1", "STORE STORE", "STORE e FOO", "ANY STORE e",
            "ANY WITHDIST STORE e", "ANY FOO", "FROMMEMBER Palermo", "FROMLONLAT 1 1", "BYRADIUS 1 km", "BYBOX 1 1 km",
            "WITHDIST ANY", "STOREDIST COUNT 2", "STOREDIST WITHDIST", "STOREDIST STOREDIST", "STOREDIST ANY",
        )  # fmt: skip
        self.do(*SICILY.split())
        for options in words:
            for line in (around, "GEORADIUS_RO g 15 37 200 km", "GEORADIUSBYMEMBER g Catania 200 km", search, store,
                         "GEORADIUSBYMEMBER_RO g Catania 200 km", "GEORADIUS missing 15 37 200 km",
                         "GEORADIUSBYMEMBER missing Catania 200 km", "GEOSEARCH g FROMMEMBER Palermo BYBOX 400 400 km",
                         "GEOSEARCH missing FROMMEMBER Palermo BYBOX 400 400 km",
                         "GEOSEARCHSTORE d missing FROMMEMBER Palermo BYBOX 400 400 km"):  # fmt: skip
                self.do(*line.split(), *options.split())
            for key in "def":
                self.do("ZRANGE", key, 0, -1, "WITHSCORES")
            self.same_digest()

    def test_errors(self) -> None:
        self.do_all(
            SICILY, "SET s x", "ZADD d 1 x", "GEORADIUS", "GEORADIUS g 0 0 1", "GEORADIUS g 0 0 1 foo",
            "GEORADIUS g 0 0 x km", "GEORADIUS g 0 0 -1 km", "GEORADIUS g 0 91 -1 km", "GEORADIUS g x 91 -1 km",
            "GEORADIUS g 0 x -1 km", "GEORADIUS missing 0 0 -1 km", "GEORADIUS missing 0 0 1 foo",
            "GEORADIUS missing 0 0 1 km FOO", "GEORADIUS s x 0 1 km", "GEORADIUS g 0 0 nan km",
            "GEORADIUS g 0 0 inf km", "GEORADIUS g 0 0 1e300 km", "GEORADIUS g 0 0 0 km", "GEORADIUS g 0 0 -0 km",
            "GEORADIUSBYMEMBER g none 1 km", "GEORADIUSBYMEMBER g none -1 km", "GEORADIUSBYMEMBER missing none -1 km",
            "GEORADIUSBYMEMBER missing none 1 foo", "GEORADIUSBYMEMBER missing none 1 km FOO",
            "GEORADIUSBYMEMBER s a 1 km", "GEORADIUSBYMEMBER g Palermo x km", "GEORADIUSBYMEMBER g Palermo -1 foo",
            "GEORADIUSBYMEMBER g Palermo 1", "GEORADIUSBYMEMBER missing none -1 km STORE d", "EXISTS d", "ZADD d 1 x",
            "GEOSEARCH", "GEOSEARCH g FROMLONLAT 0 0 FROMMEMBER Palermo BYRADIUS 1 km",
            "GEOSEARCH g FROMLONLAT 0 0 FROMLONLAT 0 0 BYRADIUS 1 km",
            "GEOSEARCH g FROMMEMBER Palermo FROMMEMBER x BYRADIUS 1 km",
            "GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 km BYBOX 1 1 km",
            "GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 km BYRADIUS 2 km", "GEOSEARCH g FROMLONLAT 0 0 ASC COUNT 1",
            "GEOSEARCH g BYRADIUS 1 km ASC COUNT 1", "GEOSEARCH g ASC ASC ASC ASC ASC",
            "GEOSEARCH g FROMMEMBER none BYRADIUS 1 km", "GEOSEARCH missing FROMMEMBER none BYRADIUS 1 km",
            "GEOSEARCH missing FROMMEMBER none FROMLONLAT 1 1 BYRADIUS 1 km",
            "GEOSEARCH missing FROMMEMBER none BYRADIUS -1 km", "GEOSEARCH missing FROMMEMBER none FOO BYRADIUS 1 km",
            "GEOSEARCH missing ANY ASC ASC ASC WITHDIST", "GEOSEARCH g BYRADIUS -1 km FROMMEMBER none",
            "GEOSEARCH g FROMMEMBER none BYRADIUS -1 km", "GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1",
            "GEOSEARCH g FROMLONLAT inf 0 BYRADIUS 1 km", "GEOSEARCH g FROMLONLAT 1e30 0 BYRADIUS 1 km",
            "GEOSEARCH g FROMLONLAT 0 0 BYBOX 1 -1 km", "GEOSEARCH g FROMLONLAT 0 0 BYBOX -1 1 km",
            "GEOSEARCH g FROMLONLAT 0 0 BYBOX x 1 km", "GEOSEARCH g FROMLONLAT 0 0 BYBOX 1 x km",
            "GEOSEARCH g FROMLONLAT 0 0 BYBOX 1 1 xx", "GEOSEARCH g FROMLONLAT 0 0 BYBOX 1 1",
            "GEOSEARCH g BYBOX -1 x km ASC ASC", "GEOSEARCH g BYBOX -1 1 foo ASC ASC",
            "GEOSEARCH g BYRADIUS -1 foo ASC ASC", "GEOSEARCH g BYRADIUS x foo ASC ASC",
            "GEOSEARCH s FROMLONLAT 0 0 BYRADIUS 1 km", "GEOSEARCH s x x x x x x", "GEOSEARCHSTORE d s x x x x x x",
            "GEOSEARCH g FROMLONLAT 0 0 BYBOX 1e300 1e300 km", "GEOSEARCH g FROMLONLAT 0 0 BYBOX inf inf km",
            "GEOSEARCH g FROMLONLAT 0 0 BYBOX 0 0 km", "GEOSEARCH g FROMLONLAT 0 0 BYBOX 0 inf km",
            "GEOSEARCHSTORE d g ANY ASC ASC ASC WITHDIST", "GEOSEARCHSTORE d g ANY ASC ASC ASC ASC",
            "GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 1", "GEOSEARCHSTORE d g FROMMEMBER none BYRADIUS 1 km",
            "EXISTS d", "GEOSEARCHSTORE d missing FROMMEMBER none BYRADIUS -1 km",
            "GEOSEARCHSTORE d missing FROMMEMBER none BYRADIUS 1 km", "EXISTS d",
            "GEOSEARCHSTORE s g FROMMEMBER Palermo BYRADIUS 1 km", "TYPE s",
            "GEOSEARCHSTORE s g FROMLONLAT 0 0 BYRADIUS 1 km", "EXISTS s", "EXPIRE g 100",
            "GEOSEARCHSTORE g g FROMMEMBER Palermo BYRADIUS 100 km STOREDIST", "TTL g", "ZRANGE g 0 -1 WITHSCORES",
        )  # fmt: skip
        self.same_digest()

    def test_key_positions(self) -> None:
        for line in (
            "GEORADIUS g 0 0 1 km STORE d", "GEORADIUS g 0 0 1 km STORE d STOREDIST e",
            "GEORADIUS g 0 0 1 km STOREDIST e STORE d", "GEORADIUS g 0 0 1 km STORE",
            "GEORADIUSBYMEMBER g 0 1 km STORE STORE", "GEORADIUSBYMEMBER g m 1 km asc store d",
            "GEORADIUSBYMEMBER g STORE 1 km", "GEORADIUS_RO g 0 0 1 km",
            "GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 1 km", "BITOP AND d a b", "BITFIELD k GET u8 0", "PFCOUNT a b",
            "PFMERGE d a b", "PFDEBUG ENCODING h",
        ):  # fmt: skip
            self.do("COMMAND", "GETKEYS", *line.split())
            self.do("COMMAND", "GETKEYSANDFLAGS", *line.split())

    def test_positions_and_distances(self) -> None:
        """Thousands of places: what is stored and what is printed."""
        chance = random.Random(1)
        self.fill(chance, 1500)
        members = [f"m{number}" for number in range(1500)]
        self.do("ZRANGE", "g", 0, -1, "WITHSCORES")
        self.do("GEOPOS", "g", *members)
        self.do("GEOHASH", "g", *members)
        for _ in range(1500):
            self.do("GEODIST", "g", chance.choice(members), chance.choice(members), chance.choice(UNITS))
        for number in range(200):  # near ones
            self.do("GEODIST", "g", f"m{number}", f"m{number + 1}")
        self.same_digest()

    def test_searches(self) -> None:
        """Circles and boxes of all sizes everywhere: the same members in the same order."""
        chance = random.Random(2)
        self.fill(chance, 700)
        for number in range(250):
            longitude, latitude = anywhere(chance)
            start = (
                ("FROMMEMBER", f"m{chance.randrange(700)}")
                if number % 3
                else ("FROMLONLAT", repr(longitude), repr(latitude))
            )
            unit = chance.choice(UNITS)
            scale = {"m": 1, "km": 1e-3, "ft": 3.28, "mi": 6.2e-4}[unit]
            reach, other = (repr(chance.choice(REACHES) * scale * chance.uniform(0.3, 1.5)) for _ in range(2))
            area = ("BYRADIUS", reach, unit) if number % 2 else ("BYBOX", reach, other, unit)
            order = chance.choice((("COUNT", chance.randrange(1, 30), "ANY"), ("WITHDIST",), ("WITHCOORD",)))
            self.do("GEOSEARCH", "g", *start, *area)
            self.do("GEOSEARCH", "g", *start, *area, *order)
            if number % 10 == 0:
                self.do("GEOSEARCHSTORE", "d", "g", *start, *area, "STOREDIST")
                self.do("GEOSEARCHSTORE", "e", "g", *start, *area)
                self.same_digest()

    def test_sorted(self) -> None:
        """The order by distance, also of places at the same distance."""
        chance = random.Random(3)
        self.fill(chance, 900, "h")
        self.do("GEOADD", "g", *[part for n in range(400) for part in (*map(repr, anywhere(random.Random(n))), f"m{n}")])
        for number in range(50):
            words = (
                "FROMLONLAT",
                repr(chance.uniform(-180, 180)),
                repr(chance.uniform(-85, 85)),
                "BYRADIUS",
                10 ** chance.randrange(8),
                "m",
            )
            order = chance.choice(("ASC", "DESC"))
            for key in "gh":
                self.do("GEOSEARCH", key, *words, order, "WITHDIST")
                self.do("GEOSEARCH", key, *words, order, "COUNT", number + 1)
                self.do("GEOSEARCH", key, *words, "COUNT", number + 1, "ANY", order)
                self.do("GEOSEARCHSTORE", "d", key, *words, order, "COUNT", 5 * number + 1)
            self.same_digest()

    def test_equal_distances(self) -> None:
        """Which of many members at a few places are the first: all sizes around those where the sort changes its ways."""
        chance = random.Random(4)
        for size in (2, 5, 6, 7, 8, 9, 15, 39, 40, 41, 42, 60, 100, 333):
            for places in (1, 2, 5, 30):
                self.do("DEL", "g")
                self.do("GEOADD", "g", *[part for n in range(size) for part in (chance.randrange(places), 1, f"m{n}")])
                for count in sorted({1, 2, size // 3 + 1, size // 2 + 1, size - 1, size}):
                    for order in ("ASC", "DESC"):
                        self.do("GEORADIUS", "g", 2, 2, 9999, "km", "COUNT", count, order)

    def test_changes(self) -> None:
        """Each write counts as many changes as in Redis."""
        base: list[int] | None = None
        for line in (
            f"SET s x|{SICILY}|{SICILY}|GEOADD g CH 1 1 a 13 38 Palermo|GEORADIUS g 15 37 200 km STORE d|"
            "GEORADIUS g 15 37 1 m STORE d|GEORADIUS g 15 37 1 m STORE d|GEORADIUS missing 15 37 1 m STORE d|"
            "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 500 500 km|GEOSEARCHSTORE s missing FROMMEMBER a BYBOX 500 500 km"
        ).split("|"):
            self.do(*line.split())
            now = [int(one.info("persistence")["rdb_changes_since_last_save"]) for one in (self.pair.real, self.pair.ours)]
            base = base or now
            self.assertEqual(now[0] - base[0], now[1] - base[1], line)


class Geo3(TwoHeadedTestCase):
    """RESP3: coordinates are doubles, distances are not."""

    resp = 3

    def test_shapes(self) -> None:
        self.do_all(
            SICILY, "GEOPOS g Palermo none", "GEOPOS missing a", "GEOHASH g Palermo none", "GEODIST g Palermo Catania",
            "GEODIST g Palermo none", "GEORADIUS g 15 37 200 km", "GEORADIUS g 15 37 200 km WITHDIST WITHHASH WITHCOORD",
            "GEOSEARCH g FROMMEMBER Palermo BYBOX 400 400 km WITHCOORD", "GEORADIUS missing 15 37 200 km",
            "GEORADIUS g 15 37 200 km STORE d", "GEOADD h 180 -85.05112878 a 0 0 b", "GEOPOS h a b",
        )  # fmt: skip


class RandomSequences(TwoHeadedTestCase):
    """Sequences that nobody thought of."""

    @sequences(100)
    @given(st.data())
    def test_random_sequences(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        key = st.sampled_from(["a", "b"])
        member = st.sampled_from([f"m{number}" for number in range(8)])
        longitude = st.floats(-180, 180).map(repr)
        latitude = st.floats(-85.05, 85.05).map(repr)
        reach = st.one_of(st.sampled_from(REACHES), st.floats(0, 2e7)).map(repr)
        unit = st.sampled_from(UNITS)
        start = st.one_of(st.tuples(st.just("FROMMEMBER"), member), st.tuples(st.just("FROMLONLAT"), longitude, latitude))
        area = st.one_of(st.tuples(st.just("BYRADIUS"), reach, unit), st.tuples(st.just("BYBOX"), reach, reach, unit))
        option = st.sampled_from([(), ("WITHDIST", "WITHCOORD", "WITHHASH"), ("COUNT", "3", "ANY"), ("WITHDIST",)])
        command: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.tuples(st.just("GEOADD"), key, longitude, latitude, member),
            st.tuples(st.just("GEOADD"), key, st.sampled_from(["NX", "XX"]), st.just("CH"), longitude, latitude, member),
            st.tuples(st.just("GEODIST"), key, member, member, unit),
            st.tuples(st.sampled_from(["GEOPOS", "GEOHASH", "ZREM", "ZSCORE"]), key, member),
            st.tuples(st.just("GEORADIUS"), key, longitude, latitude, reach, unit, st.just("WITHDIST")),
            st.tuples(st.just("GEORADIUSBYMEMBER"), key, member, reach, unit, st.just("STORE"), key),
            st.tuples(key, start, area, option).map(lambda row: ("GEOSEARCH", row[0], *row[1], *row[2], *row[3])),
            st.tuples(key, key, start, area, st.sampled_from([(), ("STOREDIST",)])).map(
                lambda row: ("GEOSEARCHSTORE", row[0], row[1], *row[2], *row[3], *row[4])
            ),
        )
        for args in data.draw(st.lists(command, min_size=1, max_size=30)):
            self.do(*args)
        self.same_digest()
