"""The history against a plain bytes model, and the rules of PSYNC."""

import random

from twisted.trial.unittest import SynchronousTestCase

from replicad.replication.history import (
    MIN_BACKLOG_SIZE,
    NO_DB,
    NO_REPLID,
    CursorClosed,
    History,
)

ID_A = "a" * 40
ID_B = "b" * 40


def recording(offset: int = 0, replid: str = ID_A) -> History:
    """Return a history that records, at ``offset``."""
    history = History(replid)
    history.reset(replid, offset)
    return history


class Bytes(SynchronousTestCase):
    """Appending, reading and trimming."""

    def test_nothing_is_counted_without_backlog(self) -> None:
        history = History()
        history.append(b"x" * 100)
        self.assertEqual((history.offset, history.active, history.histlen, history.first_byte_offset), (0, False, 0, 0))
        self.assertRaises(LookupError, history.cursor_at, 0)

    def test_first_backlog(self) -> None:
        history = History(ID_A)
        self.assertTrue(history.create_backlog())
        self.assertFalse(history.create_backlog())
        self.assertNotEqual(history.replid, ID_A)
        self.assertRegex(history.replid, "^[0-9a-f]{40}$")
        self.assertEqual((history.replid2, history.second_offset), (NO_REPLID, -1))
        self.assertEqual((history.first_byte_offset, history.histlen), (1, 0))

    def test_backlog_of_a_replica_keeps_the_id(self) -> None:
        history = History()
        history.restore(ID_A, 70, selected_db=3, as_master=False)
        self.assertFalse(history.active)
        history.create_backlog(new_id=False)
        self.assertEqual((history.replid, history.offset, history.first_byte_offset), (ID_A, 70, 71))

    def test_since(self) -> None:
        history = recording(10)
        history.append(b"abc")
        history.append(b"def")
        self.assertEqual(history.since(10), b"abcdef")
        self.assertEqual(history.since(14), b"ef")
        self.assertEqual(history.since(16), b"")
        for position in (9, 17, -1):
            self.assertRaises(LookupError, history.since, position)

    def test_big_append_is_not_copied(self) -> None:
        history = recording()
        cursor = history.cursor_at(0)
        value = bytes(200_000)
        history.append(value)
        self.assertIs(cursor.read(1_000_000), value)
        self.assertEqual(cursor.lag, 0)

    def test_advance_is_a_read(self) -> None:
        history = recording()
        cursor = history.cursor_at(0)
        history.append(b"abc")
        history.append(b"def")
        cursor.advance(4)
        self.assertEqual(cursor.read(), b"ef")
        self.assertRaises(ValueError, cursor.advance, 1)

    def test_read_respects_the_limit(self) -> None:
        history = recording()
        cursor = history.cursor_at(0)
        history.append(b"0123456789" * 10_000)
        history.append(b"tail")
        self.assertEqual(cursor.read(7), b"0123456")
        self.assertEqual(len(cursor.read(65536)), 65536)
        self.assertEqual(cursor.read(1_000_000)[-6:], b"89tail")

    def test_backlog_keeps_at_least_its_size_and_not_much_more(self) -> None:
        history = recording()
        history.backlog_size = 20_000
        for _ in range(5_000):
            history.append(b"x" * 37)
        self.assertTrue(20_000 <= history.histlen <= 22_000, history.histlen)
        self.assertEqual(history.first_byte_offset, history.offset - history.histlen + 1)

    def test_one_huge_value_does_not_stay(self) -> None:
        history = recording()
        history.backlog_size = 16384
        history.append(b"x" * 20_000_000)
        self.assertTrue(history.histlen <= 21_000, history.histlen)

    def test_smallest_size(self) -> None:
        history = recording()
        history.backlog_size = 1
        self.assertEqual(history.backlog_size, MIN_BACKLOG_SIZE)

    def test_slow_cursor_keeps_its_bytes_until_it_is_closed(self) -> None:
        history = recording()
        history.backlog_size = 16384
        slow = history.cursor_at(0)
        for number in range(1000):
            history.append(b"%0100d" % number)
        self.assertEqual(history.first_byte_offset, 1)
        self.assertTrue(history.can_continue(ID_A, 1).accepted)
        self.assertEqual(slow.read(100), b"%0100d" % 0)
        self.assertEqual(slow.lag, 99_900)
        slow.close()
        slow.close()
        self.assertTrue(history.first_byte_offset > 80_000, history.first_byte_offset)
        self.assertRaises(CursorClosed, slow.read)
        self.assertEqual(slow.lag, 0)

    def test_reset_closes_cursors(self) -> None:
        history = recording()
        history.append(b"abc")
        cursor = history.cursor_at(0)
        history.reset(ID_B, 50)
        self.assertTrue(cursor.closed)
        self.assertRaises(CursorClosed, cursor.read)
        self.assertRaises(CursorClosed, cursor.advance, 1)
        self.assertEqual((history.offset, history.histlen, history.first_byte_offset), (50, 0, 51))

    def test_free(self) -> None:
        history = recording()
        history.append(b"abc")
        history.free_backlog()
        self.assertEqual((history.offset, history.histlen, history.first_byte_offset), (3, 0, 0))
        self.assertNotEqual(history.replid, ID_A)
        self.assertFalse(history.can_continue(history.replid, 4).accepted)

    def test_against_a_plain_model(self) -> None:
        """Random appends, reads and resizes: every byte that is promised is there and right."""
        for seed in range(40):
            rng = random.Random(seed)
            origin = rng.choice([0, 1, 12345])
            history = recording(origin)
            model = bytearray()
            cursors = []
            promised = origin
            for _ in range(300):
                action = rng.random()
                if action < 0.55:
                    data = rng.randbytes(rng.choice([1, 10, 100, 1000, 5000, 70_000]))
                    before = history.offset
                    history.append(data)
                    model += data
                    for cursor in cursors:
                        if cursor.position == before and rng.random() < 0.7:
                            cursor.advance(len(data))
                elif action < 0.85 and cursors:
                    cursor = rng.choice(cursors)
                    begin = cursor.position - origin
                    got = cursor.read(rng.choice([1, 100, 65536]))
                    self.assertEqual(got, model[begin : begin + len(got)], f"seed {seed}")
                    self.assertTrue(got or cursor.lag == 0, f"seed {seed}")
                    self.assertEqual(cursor.lag, len(model) - begin - len(got), f"seed {seed}")
                elif action < 0.90:
                    history.backlog_size = rng.choice([1, 20_000, 100_000, 400_000])
                elif action < 0.95 and cursors:
                    cursors.pop(rng.randrange(len(cursors))).close()
                else:
                    place = rng.randint(history.start, history.offset)
                    cursors.append(history.cursor_at(place))
                self.assertEqual(history.offset, origin + len(model), f"seed {seed}")
                promised = max(promised, history.offset - history.backlog_size)
                self.assertTrue(history.start <= promised, f"seed {seed}")
                pinned = min([c.position for c in cursors], default=history.offset)
                needed = max(history.backlog_size, history.offset - pinned)
                self.assertTrue(history.histlen <= needed + history.backlog_size // 4 + 70_000, f"seed {seed}")
            self.assertEqual(history.since(history.start), model[history.start - origin :], f"seed {seed}")
            for cursor in cursors:
                begin = cursor.position - origin
                self.assertEqual(cursor.read(len(model)), model[begin:], f"seed {seed}")


class Psync(SynchronousTestCase):
    """Who may continue, with the reasons in the log."""

    def test_same_id(self) -> None:
        history = recording()
        history.append(b"x" * 64)
        decision = history.can_continue(ID_A.upper(), 60, "127.0.0.1:7000")
        self.assertTrue(decision.accepted)
        self.assertEqual(
            decision.reason,
            (
                (
                    "notice",
                    "Partial resynchronization request from 127.0.0.1:7000 accepted. "
                    "Sending 5 bytes of backlog starting from offset 60.",
                ),
            ),
        )
        self.assertTrue(history.can_continue(ID_A, 1).accepted)
        self.assertTrue(history.can_continue(ID_A, 65).accepted)

    def test_lack_of_backlog(self) -> None:
        history = recording(100)
        history.append(b"x" * 64)
        for offset in (100, 0, -1, -5):
            decision = history.can_continue(ID_A, offset, "r:1")
            self.assertEqual(
                decision,
                (
                    False,
                    (
                        (
                            "notice",
                            "Unable to partial resync with replica r:1 for lack of backlog "
                            f"(Replica request was: {offset}).",
                        ),
                    ),
                ),
            )

    def test_replica_ahead(self) -> None:
        history = recording()
        decision = history.can_continue(ID_A, 2, "r:1")
        self.assertFalse(decision.accepted)
        self.assertEqual(
            decision.reason[1],
            (
                "warning",
                "Warning: replica r:1 tried to PSYNC with an offset that is greater than the master replication "
                "offset.",
            ),
        )

    def test_question_mark(self) -> None:
        history = recording()
        self.assertEqual(
            history.can_continue("?", -1, "r:1"), (False, (("notice", "Full resync requested by replica r:1"),))
        )

    def test_foreign_id(self) -> None:
        history = recording()
        accepted, reason = history.can_continue("C" * 40, 1, "r:1")
        self.assertFalse(accepted)
        self.assertEqual(
            reason[0][1],
            "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for "
            f"'{'C' * 40}', my replication IDs are '{ID_A}' and '{NO_REPLID}')",
        )

    def test_promoted(self) -> None:
        history = recording(0)
        history.append(b"x" * 64)
        history.selected_db = 2
        history.shift()
        self.assertEqual((history.replid2, history.second_offset, history.selected_db), (ID_A, 65, NO_DB))
        self.assertNotEqual(history.replid, ID_A)
        history.append(b"y" * 50)
        self.assertTrue(history.can_continue(ID_A, 65).accepted)
        self.assertEqual(history.since(64), b"y" * 50)
        accepted, reason = history.can_continue(ID_A, 66, "r:1")
        self.assertFalse(accepted)
        self.assertEqual(
            reason[0][1],
            "Partial resynchronization not accepted: Requested offset for second ID was 66, but I can reply up to 65",
        )
        self.assertTrue(history.can_continue(history.replid, 115).accepted)

    def test_second_id_of_nobody_is_never_accepted(self) -> None:
        history = recording()
        self.assertFalse(history.can_continue(NO_REPLID, 1).accepted)
        self.assertFalse(history.can_continue(NO_REPLID, -1).accepted)

    def test_master_under_a_new_id(self) -> None:
        history = recording(64)
        history.selected_db = 4
        history.adopt(ID_B)
        self.assertEqual(
            (history.replid, history.replid2, history.second_offset, history.selected_db), (ID_B, ID_A, 65, 4)
        )

    def test_restored_master(self) -> None:
        history = History()
        history.restore(ID_A, 500, selected_db=2, as_master=True)
        self.assertNotEqual(history.replid, ID_A)
        self.assertEqual((history.replid2, history.second_offset, history.offset), (ID_A, 501, 500))
        self.assertTrue(history.can_continue(ID_A, 501).accepted)
        self.assertFalse(history.can_continue(ID_A, 500).accepted)
        self.assertEqual(history.selected_db, NO_DB)

    def test_restored_master_with_the_end_of_its_stream(self) -> None:
        history = History()
        history.restore(ID_A, 500, as_master=True, tail=b"x" * 100, second=(ID_B, 450))
        self.assertEqual((history.replid2, history.second_offset, history.offset), (ID_A, 501, 500))
        self.assertEqual((history.first_byte_offset, history.histlen), (401, 100))
        for replid, offset, accepted in (
            (ID_A, 401, True), (ID_A, 501, True), (ID_A, 400, False), (ID_A, 502, False), (ID_B, 420, False),
            (history.replid, 501, True),
        ):  # fmt: skip
            self.assertEqual(history.can_continue(replid, offset).accepted, accepted, (replid, offset))
        history.append(b"y" * 5)
        self.assertEqual(history.since(498), b"xxyyyyy")
        self.assertFalse(history.can_continue(ID_A, 502).accepted)
        self.assertEqual(history.tail(7), b"xxyyyyy")
        self.assertEqual(history.tail(1000), b"x" * 100 + b"y" * 5)
        self.assertFalse(history.create_backlog())

    def test_restored_replica_keeps_the_end_of_the_stream_when_it_continues(self) -> None:
        for new_id in (None, "d" * 40):
            history = History()
            history.restore(ID_A, 500, as_master=False, tail=b"x" * 100, second=(ID_B, 450))
            self.assertEqual((history.active, history.tail(3)), (False, b"xxx"))
            self.assertFalse(history.can_continue(ID_A, 450).accepted)  # nobody is served before the link is up
            if new_id:
                history.adopt(new_id)
            history.create_backlog(new_id=False)
            self.assertEqual(history.first_byte_offset, 401)
            self.assertTrue(history.can_continue(ID_A, 450).accepted)
            self.assertEqual(history.can_continue(ID_B, 450).accepted, new_id is None)
            self.assertFalse(history.can_continue(ID_B, 451).accepted)
            history.append(b"y" * 50)
            self.assertEqual(history.since(450), b"x" * 50 + b"y" * 50)
            self.assertEqual(history.can_continue(ID_A, 502).accepted, new_id is None)

    def test_restored_replica_that_is_promoted_before_it_found_its_master(self) -> None:
        history = History()
        history.restore(ID_A, 500, as_master=False, tail=b"x" * 100)
        history.shift()
        self.assertTrue(history.active)
        self.assertTrue(history.can_continue(ID_A, 450).accepted)
        self.assertFalse(history.can_continue(ID_A, 502).accepted)
        self.assertEqual((history.replid2, history.second_offset), (ID_A, 501))
        self.assertFalse(history.create_backlog())

    def test_restored_bytes_go_with_the_history_they_belong_to(self) -> None:
        history = History()
        history.restore(ID_A, 500, as_master=False, tail=b"x" * 100)
        history.reset(ID_B, 1000)
        self.assertEqual((history.histlen, history.tail(1000)), (0, b""))
        history.restore(ID_A, 500, as_master=False, tail=b"x" * 100)
        history.create_backlog()
        self.assertEqual((history.histlen, history.tail(1000)), (0, b""))
        history.restore(ID_A, 50, as_master=True, tail=b"x" * 100)  # more than there can be
        self.assertEqual(history.histlen, 0)

    def test_restored_bytes_make_way(self) -> None:
        history = History()
        history.backlog_size = MIN_BACKLOG_SIZE
        history.restore(ID_A, 500_000, as_master=True, tail=b"x" * 200_000)
        for _ in range(300):
            history.append(b"y" * 100)
        self.assertTrue(MIN_BACKLOG_SIZE <= history.histlen <= 30_000, history.histlen)

    def test_restored_replica(self) -> None:
        history = History()
        history.restore(ID_A, 500, selected_db=2, as_master=False)
        self.assertEqual(
            (history.replid, history.replid2, history.offset, history.selected_db), (ID_A, NO_REPLID, 500, 2)
        )
