"""Tests for replicad.propagation: what of an execution unit goes into the stream, byte for byte."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from replicad.propagation import Propagation
from replicad.replication.history import History
from replicad.resp import RequestReader


class PropagationTests(SynchronousTestCase):
    """The commands of the stream as words; ``unit`` stands for what one client command did."""

    def setUp(self) -> None:
        self.delivered: list[bytes] = []
        self.history = History()
        self.propagation = Propagation(self.history, self.delivered.append)
        self.propagation.active = True

    def stream(self) -> list[str]:
        self.propagation.flush()
        data = b"".join(self.delivered)
        return [b" ".join(argv).decode() for argv in (RequestReader().feed(data) if data else [])]

    def test_select_comes_before_the_first_command_and_only_when_the_database_changes(self) -> None:
        for db, key in ((0, b"a"), (0, b"b"), (3, b"c"), (3, b"d"), (0, b"e")):
            self.propagation.done(db, [b"SET", key, b"1"], True)
        self.assertEqual(
            self.stream(),
            ["SELECT 0", "SET a 1", "SET b 1", "SELECT 3", "SET c 1", "SET d 1", "SELECT 0", "SET e 1"],
        )

    def test_one_delivery_for_a_batch(self) -> None:
        for _ in range(100):
            self.propagation.done(0, [b"INCR", b"n"], True)
        self.propagation.flush()
        self.propagation.flush()
        self.assertEqual(len(self.delivered), 1)

    def passed_on(self, request: bytes, *changed: bool) -> bytes:
        """The stream bytes of the commands of ``request``; ``changed`` tells of each whether it changed anything."""
        self.history.selected_db = 0
        reader = RequestReader()
        commands = reader.feed(request)
        for argv, change in zip(commands, changed, strict=True):
            self.propagation.done(0, argv, change)
        self.propagation.flush(request if reader.exact else None, commands)
        return b"".join(self.delivered)

    def test_a_request_is_passed_on_as_it_came(self) -> None:
        """The very bytes, when all of its commands go out."""
        request = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$4\r\niNcR\r\n$1\r\na\r\n"
        self.assertIs(self.delivered[0] if self.passed_on(request, True, True) else None, request)

    def test_only_what_changed_something(self) -> None:
        """A reading command in the request stays behind."""
        request = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
        self.assertEqual(self.passed_on(request, False, True), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")

    def test_another_command_of_the_same_length(self) -> None:
        """What a client got that was waiting is not in the request, although the lengths agree."""
        self.history.selected_db = 0
        request = b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$2\r\nab\r\n"
        first, _ = commands = RequestReader().feed(request)
        self.propagation.done(0, first, True)
        self.propagation.done(0, [b"LPOP", b"x"], True)
        self.propagation.flush(request, commands)
        self.assertEqual(b"".join(self.delivered), b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$4\r\nLPOP\r\n$1\r\nx\r\n")

    def test_other_spellings_are_made_canonical(self) -> None:
        """Replicas get the usual form, whatever way the client wrote it."""
        canonical = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n+1\r\n"
        for request in (
            b"SET a +1\r\n",
            canonical,
        ):
            self.delivered.clear()
            self.assertEqual(self.passed_on(request, True), canonical, request)

    def test_what_changed_nothing_is_not_propagated(self) -> None:
        self.propagation.done(0, [b"DEL", b"missing"], False)
        self.assertEqual(self.stream(), [])

    def test_replace_takes_the_place_of_the_arguments(self) -> None:
        self.propagation.replace(b"SET", b"k", b"v", b"PXAT", b"5")
        self.propagation.done(0, [b"SETEX", b"k", b"1", b"v"], True)
        self.assertEqual(self.stream(), ["SELECT 0", "SET k v PXAT 5"])

    def test_several_replacements_are_one_transaction(self) -> None:
        self.propagation.replace(b"SREM", b"s", b"a")
        self.propagation.replace(b"SREM", b"s", b"b")
        self.propagation.done(0, [b"SPOP", b"s", b"2"], True)
        self.assertEqual(self.stream(), ["SELECT 0", "MULTI", "SREM s a", "SREM s b", "EXEC"])

    def test_suppress(self) -> None:
        self.propagation.suppress()
        self.propagation.done(0, [b"SPOP", b"s"], True)
        self.propagation.done(0, [b"SET", b"a", b"1"], True)
        self.assertEqual(self.stream(), ["SELECT 0", "SET a 1"])

    def test_an_expired_key_goes_in_front_of_the_command_that_met_it(self) -> None:
        self.propagation.also(0, b"DEL", b"k")
        self.propagation.done(0, [b"SET", b"k", b"new"], True)
        self.assertEqual(self.stream(), ["SELECT 0", "MULTI", "DEL k", "SET k new", "EXEC"])

    def test_an_expired_key_met_by_a_read_goes_alone(self) -> None:
        self.propagation.also(0, b"DEL", b"k")
        self.assertTrue(self.propagation.busy)
        self.propagation.done(0, [b"GET", b"k"], False)
        self.assertEqual(self.stream(), ["SELECT 0", "DEL k"])
        self.assertFalse(self.propagation.busy)

    def test_a_transaction_is_one_unit_with_select_before_multi(self) -> None:
        self.propagation.enter()
        self.propagation.done(3, [b"SET", b"a", b"1"], True)
        self.propagation.done(3, [b"GET", b"a"], False)
        self.propagation.done(0, [b"SET", b"b", b"1"], True)
        self.propagation.leave()
        self.assertEqual(self.stream(), ["SELECT 3", "MULTI", "SET a 1", "SELECT 0", "SET b 1", "EXEC"])

    def test_a_transaction_with_one_write_is_not_wrapped(self) -> None:
        self.propagation.enter()
        self.propagation.done(0, [b"SET", b"a", b"1"], True)
        self.propagation.leave()
        self.assertEqual(self.stream(), ["SELECT 0", "SET a 1"])

    def test_nothing_is_encoded_while_nobody_listens(self) -> None:
        self.propagation.active = False
        self.propagation.also(0, b"DEL", b"k")
        self.propagation.done(0, [b"SET", b"k", b"1"], True)
        self.propagation.write(b"PING")
        self.assertEqual(self.stream(), [])

    def test_a_verb_used_while_nobody_listens_does_not_reach_the_next_command(self) -> None:
        self.propagation.active = False
        self.propagation.replace(b"X")
        self.propagation.done(0, [b"SPOP", b"s"], True)
        self.propagation.active = True
        self.propagation.done(0, [b"SET", b"a", b"1"], True)
        self.assertEqual(self.stream(), ["SELECT 0", "SET a 1"])

    def test_other_stream_bytes_keep_their_place(self) -> None:
        self.propagation.done(0, [b"SET", b"a", b"1"], True)
        self.propagation.write(b"*1\r\n$4\r\nping\r\n")
        self.propagation.done(0, [b"SET", b"b", b"1"], True)
        self.assertEqual(self.stream(), ["SELECT 0", "SET a 1", "ping", "SET b 1"])

    def test_a_database_beyond_sixteen(self) -> None:
        self.propagation.done(99, [b"SET", b"a", b"1"], True)
        self.assertEqual(self.stream(), ["SELECT 99", "SET a 1"])
