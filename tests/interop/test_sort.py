"""SORT and SORT_RO beside a real redis-server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.connection import Argument, RespError
from tests.support.sequences import sequences
from tests.support.twohead import TwoHeadedTestCase


class Sort(TwoHeadedTestCase):
    """Lists, sets and sorted sets in order."""

    def prepare(self) -> None:
        self.do_all(
            "RPUSH l 5 1 4 2 3 10", "SADD s 5 1 4 2 3 10", "ZADD z 1 5 2 1 3 4 4 2 5 3 6 10",
            "RPUSH words b a c aa B",
            "MSET w_5 1 w_1 5 w_4 2 w_2 4 w_10 -1 n_5 five n_1 one n_10 ten", "HSET h_5 w 3 n FIVE",
            "HSET h_1 w 1 n ONE",
            "HSET h_4 w 2", "RPUSH w_list x", "SET str v",
        )  # fmt: skip

    def clean_errno(self) -> None:
        """A real server takes a number that it could not read before for the next one's fault; this makes it forget."""
        self.pair.real.must("SET", "errno", "1")
        self.pair.real.must("INCRBYFLOAT", "errno", "0.5")
        self.pair.real.must("DEL", "errno")

    def test_options(self) -> None:
        self.prepare()
        for key in ("l", "s", "z", "missing"):
            for options in (
                "", "ASC", "DESC", "ALPHA", "ALPHA DESC", "LIMIT 0 3", "LIMIT 2 2", "LIMIT -1 2", "LIMIT 1 -1",
                "LIMIT 10 5",
                "LIMIT 1 0", "DESC LIMIT 1 3", "BY w_*", "BY w_* DESC", "BY w_* ALPHA", "BY h_*->w", "BY h_*->w DESC",
                "BY nosort GET #", "GET #", "GET n_*", "GET # GET n_* GET h_*->n", "GET nostar", "GET h_*->",
                "GET h_*->x",
                "BY h_*-> GET #", "BY w_* GET w_*", "ASC DESC ASC", "BY w_* BY nosort LIMIT 0 0", "GET w_list*",
                "GET n_*->f",
                "BY missing_*", "BY missing_* DESC LIMIT 1 2", "GET h_*", "GET h_->*", "LIMIT 0 2 LIMIT 1 1",
                "limit 1 2 desc alpha get # by nosort",
            ):  # fmt: skip
                if key == "s" and "nosort" in options:
                    continue
                self.do("SORT", key, *options.split())
                self.do("SORT_RO", key, *options.split())

    def test_nosort(self) -> None:
        self.prepare()
        for key in ("l", "z"):
            for options in ("", "DESC", "LIMIT 1 2", "DESC LIMIT 1 2", "LIMIT 10 2", "LIMIT -1 2", "LIMIT 1 -1",
                            "ALPHA DESC",
                            "STORE out", "DESC LIMIT 0 2 STORE out"):  # fmt: skip
                self.do("SORT", key, "BY", "nosort", *options.split())
        self.do_sorted("SORT", "s", "BY", "nosort")
        for options in ("STORE out", "DESC STORE out", "LIMIT 1 3 STORE out", "GET n_* STORE out"):
            self.do("SORT", "s", "BY", "nosort", *options.split())
            self.do("LRANGE", "out", 0, -1)

    def test_store(self) -> None:
        self.prepare()
        for options in ("", "DESC", "ALPHA", "BY w_* GET n_*", "LIMIT 1 2", "GET # GET h_*->n"):
            self.do("SORT", "l", *options.split(), "STORE", "out")
            self.do("LRANGE", "out", 0, -1)
        self.do_all(
            "EXPIRE out 100", "SORT l STORE out", "TTL out", "SORT l LIMIT 10 5 STORE out", "EXISTS out",
            "SORT l STORE l",
            "LRANGE l 0 -1", "SORT missing STORE str", "EXISTS str", "SORT missing STORE str", "SET str v",
            "SORT z STORE str", "TYPE str", "SORT l STORE a STORE b", "EXISTS a b", "SORT_RO l STORE x",
        )  # fmt: skip
        self.same_digest()

    def test_errors(self) -> None:
        self.prepare()
        self.do_all(
            "SORT", "SORT_RO", "SORT str", "SORT str FOO", "SORT h_5", "SORT l FOO", "SORT l LIMIT 1",
            "SORT l LIMIT x 1",
            "SORT l LIMIT 1 x", "SORT l LIMIT 1 99999999999999999999", "SORT l BY", "SORT l GET", "SORT l STORE",
            "SORT words", "SORT words BY w_*", "SORT l BY n_*", "SORT missing FOO", "SORT l BY w_list*",
            "SORT words BY nosort",
            "SORT words GET n_*",
        )  # fmt: skip

    def test_numbers(self) -> None:
        for values in (["0x10", "1"], ["inf", "-inf", "0"], ["nan"], ["1 "], [" 1", "2"], ["\t1", "3"],
                       ["1\x00abc", "0"], ["0x"],
                       ["5", ""], ["-0", "0"], ["0", "-0"], ["1e2", "99"], ["+5", "3"], ["1e-310", "0"],
                       ["1e-400"], ["1e400"],
                       ["   "], ["1.5", "1.25"], ["123456789012345678901", "123456789012345678902"], [".5", "5."],
                       ["1_0"]):  # fmt: skip
            self.do("DEL", "l")
            self.do("RPUSH", "l", *values)
            for order in ("ASC", "DESC"):
                self.clean_errno()
                self.do("SORT", "l", order)
                self.do("SORT", "l", "ALPHA", order)
        self.clean_errno()

    def test_binary_and_equal_weights(self) -> None:
        self.do("RPUSH", "l", b"\xff", b"\x00", b"", b"a\x00b", b"a", b"\xc3\xa4", b"z")
        self.do("SORT", "l", "BY", "none_*")
        self.do("SORT", "l", "BY", "none_*", "DESC")
        self.do("SORT", "l", "ALPHA", "STORE", "out")
        self.do("LRANGE", "out", 0, -1)
        self.same_digest()

    def test_resp3_shapes(self) -> None:
        self.prepare()
        pair = self.open_pair(resp=3)
        for line in ("SORT l GET missing_*", "SORT missing", "SORT_RO z GET #", "SORT l STORE out"):
            pair.do(*line.split())

    @sequences(150)
    @given(st.data())
    def test_random(self, data: st.DataObject) -> None:
        self.do("FLUSHALL")
        numbers = st.one_of(st.integers(-20, 20).map(str), st.sampled_from(["1.5", "-2e1", "a", ""]))
        items = data.draw(st.lists(numbers, min_size=1, max_size=12))
        self.do(data.draw(st.sampled_from(["RPUSH", "SADD"])), "k", *items)
        for item in items:
            if data.draw(st.booleans()):
                self.do("SET", f"w_{item}", data.draw(numbers))
        option: st.SearchStrategy[tuple[Argument, ...]] = st.one_of(
            st.sampled_from([("DESC",), ("ALPHA",), ("GET", "#"), ("GET", "w_*"), ("BY", "w_*")]),
            st.tuples(st.just("LIMIT"), st.integers(-1, 6), st.integers(-1, 6)),
        )
        options = data.draw(st.lists(option, max_size=3))
        words = [word for one in options for word in one]
        if "BY" in words and "ALPHA" in words:
            words.remove("ALPHA")  # elements of equal weight have no order then
        self.clean_errno()
        reply = self.do("SORT", "k", *words)
        if not isinstance(reply, RespError):
            self.do("SORT", "k", *words, "STORE", "out")
            self.same_digest()
