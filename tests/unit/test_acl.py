"""Rules of users, what they allow, the ACL file, the log of refusals."""

from __future__ import annotations

import os
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from replicad.accounts import FileError, parse_file
from replicad.acl import CHANNEL, COMMAND, KEY, RuleError, Selector, Unmatched, User, catalogue, check, sum_of
from replicad.command import lookup
from replicad.config import load
from replicad.server import Server
from replicad.session import Client


def user_of(*rules: bytes | str, open_channels: bool = False) -> User:
    """A new user after these rules."""
    user = User(b"somebody", open_channels)
    user.apply_all([rule.encode() if isinstance(rule, str) else rule for rule in rules])
    return user


def verdict(user: User, *words: str) -> tuple[int, bytes] | None:
    """What stands against the command: its kind and its subject."""
    argv = [word.encode() for word in words]
    cmd = lookup(argv)
    assert cmd is not None
    denial = check(user, cmd, argv)
    return None if denial is None else (denial.kind, denial.what)


class Rules(SynchronousTestCase):
    """What ACL SETUSER takes, and what is shown of it."""

    def test_what_is_shown(self) -> None:
        digest = sum_of(b"secret").decode()
        for rules, shown in (
            ("", "off resetchannels -@all"),
            ("on nopass allkeys allchannels allcommands", "on nopass ~* &* +@all"),
            ("ON >secret >secret", f"on #{digest} resetchannels -@all"),
            ("nopass >secret", f"off #{digest} resetchannels -@all"),
            (">secret nopass resetpass", "off resetchannels -@all"),
            (f"#{digest} <secret", "off resetchannels -@all"),
            ("%R~a %W~a %rw~b %W~c", "off ~a ~b %W~c resetchannels -@all"),
            ("~a ~* resetkeys", "off resetchannels -@all"),
            ("&a &b &a", "off resetchannels &a &b -@all"),
            ("+@all -get +get", "off resetchannels +@all"),
            ("+@all -config +config|get", "off resetchannels +@all -config +config|get"),
            ("+config|set +config", "off resetchannels -@all +config"),
            ("+select|0 +select|1 +SELECT|0", "off resetchannels -@all +select|0 +select|1"),
            ("+select|0 +select -select", "off resetchannels -@all"),
            ("+@read +@write -get", "off resetchannels -@all +@write +@read -get"),
            ("+@all -@dangerous -@admin", "off resetchannels +@all -@dangerous"),
            ("skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"),
            ("on >x +get reset", "off sanitize-payload resetchannels -@all"),
            ("(+get ~a) ( +set &b )", "off resetchannels -@all (~a resetchannels -@all +get) (resetchannels &b -@all +set)"),
            ("(+get) clearselectors", "off resetchannels -@all"),
        ):
            self.assertEqual(user_of(*rules.split()).shown().decode(), shown, rules)

    def test_acl_pubsub_default(self) -> None:
        self.assertEqual(user_of("reset", "(+get)", open_channels=True).shown(),
                         b"off sanitize-payload &* -@all (&* -@all +get)")  # fmt: skip

    def test_wrong_rules(self) -> None:
        unknown, syntax = b"Unknown command or category name in ACL", b"Syntax error"
        for rule, reason in (
            *((rule, unknown) for rule in ("+no", "-no", "+@no", "-@", "+", "-select|1", "+config|no", "+select|a|b")),
            *((rule, syntax) for rule in ("no", "~a b", "%~a", "%X~a", "%RR~a", "+get|", ")", "(on)", "(>x)", "((+get))")),
            ("+config|get|x", b"Allowing first-arg of a subcommand is not supported"),
            ("<no", b"The password you are trying to remove from the user does not exist"),
            ("#ABC", b"The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"),
        ):
            with self.assertRaises(RuleError) as caught:
                user_of("on", rule)
            self.assertEqual((caught.exception.reason, caught.exception.rule), (reason, rule.encode()))
        for rules, word in ((["~*", "~a"], b"resetkeys"), (["&*", "&a"], b"resetchannels")):
            with self.assertRaises(RuleError) as caught:
                user_of(*rules)
            self.assertIn(word, caught.exception.reason)

    def test_an_open_parenthesis(self) -> None:
        user = user_of("on")
        with self.assertRaises(Unmatched) as caught:
            user.apply_all([b"off", b"(+get", b"~a"])
        self.assertEqual(caught.exception.rule, b"(+get")
        self.assertTrue(user.enabled)

    def test_passwords(self) -> None:
        user = user_of("on", ">one", ">two")
        self.assertEqual([user.accepts(word) for word in (b"one", b"two", b"three", b"")], [True, True, False, False])
        self.assertNotIn(b"one", user.shown())
        user.apply(b"off")
        self.assertFalse(user.accepts(b"one"))
        self.assertTrue(user_of("on", "nopass").accepts(b"anything"))
        self.assertFalse(user_of("on").accepts(b""))

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 12)), max_size=12), st.booleans())
    def test_what_is_shown_means_the_same(self, steps: list[tuple[bool, int]], everything: bool) -> None:
        names = [*catalogue().places, *(b"@" + name for name in catalogue().members), b"select|0", b"get|x"]
        first = Selector()
        first.apply(b"+@all" if everything else b"-@all")
        for allow, number in steps:
            name = names[number % len(names)]
            if allow or name in catalogue().spans or name[:1] == b"@":
                first.apply((b"+" if allow else b"-") + name)
        second = Selector()
        for word in first.words():
            second.apply(word)
        self.assertEqual(second.commands, first.commands)
        self.assertEqual(second.words(), first.words())


class Checks(SynchronousTestCase):
    """Whether a command is allowed, and what is to blame."""

    def test_commands(self) -> None:
        user = user_of("+get", "+config|get", "+select|0", "allkeys", "allchannels")
        self.assertIsNone(verdict(user, "GET", "k"))
        self.assertIsNone(verdict(user, "config", "GET", "port"))
        self.assertIsNone(verdict(user, "SELECT", "0"))
        self.assertEqual(verdict(user, "SELECT", "1"), (COMMAND, b"select"))
        self.assertEqual(verdict(user, "CONFIG", "SET", "port", "1"), (COMMAND, b"config|set"))
        self.assertEqual(verdict(user, "SET", "k", "v"), (COMMAND, b"set"))
        for words in (("AUTH", "x"), ("HELLO",), ("QUIT",), ("RESET",)):
            self.assertIsNone(verdict(user, *words))

    def test_keys(self) -> None:
        user = user_of("+@all", "%R~r*", "%W~w*", "~b*")
        for words, wrong in (
            ("GET r", None), ("GET w", b"w"), ("SET w x", None), ("SET w x GET", b"w"), ("SET b x GET", None),
            ("SET r x", b"r"), ("COPY r w", None), ("COPY w r", b"w"), ("MGET r1 b x", b"x"), ("TYPE w", None),
            ("TYPE x", b"x"), ("SUNIONSTORE w r1 r2", None), ("SUNIONSTORE w r1 w2", b"w2"), ("GETDEL r", b"r"),
            ("ZUNIONSTORE w 2 r1 x", b"x"), ("XREAD STREAMS r1 x 0 0", b"x"), ("SORT r STORE w", None),
            ("SORT r STORE r2", b"r2"), ("BITFIELD r GET u8 0", None), ("BITFIELD r SET u8 0 1", b"r"),
            ("ZUNIONSTORE x many r1", None),
        ):  # fmt: skip
            self.assertEqual(verdict(user, *words.split()), None if wrong is None else (KEY, wrong), words)

    def test_channels(self) -> None:
        user = user_of("+@all", "allkeys", "&news:*")
        self.assertIsNone(verdict(user, "PUBLISH", "news:1", "x"))
        self.assertIsNone(verdict(user, "SUBSCRIBE", "news:1", "news:2"))
        self.assertEqual(verdict(user, "SUBSCRIBE", "news:1", "other"), (CHANNEL, b"other"))
        self.assertIsNone(verdict(user, "PSUBSCRIBE", "news:*"))
        self.assertEqual(verdict(user, "PSUBSCRIBE", "news:a*"), (CHANNEL, b"news:a*"))
        self.assertEqual(verdict(user, "SPUBLISH", "x", "y"), (CHANNEL, b"x"))
        self.assertIsNone(verdict(user, "UNSUBSCRIBE", "other"))

    def test_selectors(self) -> None:
        """One selector has to allow all of it; the reason comes from the one that came farthest."""
        user = user_of("+set", "~a", "(+get ~b)", "(+@read ~c)", "(+lcs ~d)")
        self.assertIsNone(verdict(user, "SET", "a", "1"))
        self.assertIsNone(verdict(user, "GET", "b"))
        self.assertIsNone(verdict(user, "GET", "c"))
        self.assertEqual(verdict(user, "GET", "a"), (KEY, b"a"))
        self.assertEqual(verdict(user, "SET", "b", "1"), (KEY, b"b"))
        self.assertEqual(verdict(user, "LCS", "d", "a"), (KEY, b"a"))
        self.assertEqual(verdict(user, "PING"), (COMMAND, b"ping"))

    def test_who_is_restricted(self) -> None:
        for rules, restricted in (
            ("+@all ~* &*", False),
            ("+@all ~* &* off", False),
            ("(+@all ~* &*)", False),
            ("+@all ~*", True),
            ("+@all -get +get ~* &*", False),
            ("+@all -get ~* &*", True),
            ("+@all %R~* &*", True),
        ):
            self.assertIs(user_of(*rules.split()).restricted is False, not restricted, rules)


class Files(SynchronousTestCase):
    """The ACL file, and user lines of the conf file."""

    def test_every_wrong_line_is_named(self) -> None:
        with self.assertRaises(FileError) as caught:
            parse_file(
                b"user a on foo #abc\n# x\n\nuser c +@foo +bar\nuser\nuser d on\n  user d off \r\nuser f (+get\nuser g on",
                b"users.acl",
            )
        self.assertEqual(
            caught.exception.text,
            b"users.acl:1: Syntax error. users.acl:2 should start with user keyword followed by the username. users.acl:4: "
            b"Error in applying operation '+@foo': Unknown command or category name in ACL. users.acl:4: Error in applying "
            b"operation '+bar': Unknown command or category name in ACL. users.acl:5 should start with user keyword "
            b"followed by the username. WARNING: Duplicate user 'd' found on line 7. users.acl:8: Unmatched parenthesis "
            b"in selector definition.WARNING: ACL errors detected, no change to the previously active ACL rules was "
            b"performed",
        )

    def test_the_user_default(self) -> None:
        """It may do everything, unless there is a line for it, which begins with nothing."""
        self.assertFalse(parse_file(b"user a on\n", b"f")[b"default"].restricted)
        self.assertEqual(parse_file(b"user default +get\n", b"f")[b"default"].shown(), b"off resetchannels -@all +get")

    def server(self, conf: str) -> Server:
        directory = tempfile.mkdtemp()
        path = os.path.join(directory, "replicad.conf")
        with open(path, "w") as file:
            file.write(conf)
        return Server(load(path, [["dir", directory]]))

    def written(self, server: Server) -> str:
        assert server.settings.path is not None
        server.settings.rewrite()
        with open(server.settings.path) as file:
            return file.read()

    def test_rewriting_leaves_what_is_right(self) -> None:
        for conf in ("# nothing\n", "requirepass x\n", "user a   on\n# here\nuser default on nopass ~* &* +@all\n"):
            server = self.server(conf)
            self.assertTrue(self.written(server).startswith(conf), conf)
            self.assertEqual(self.written(server).count("user "), conf.count("user "))

    def test_rewriting(self) -> None:
        server = self.server("user b on\n# between\nuser c on\nuser d on\n")
        server.acl.delete(b"c")
        server.acl.change(b"a", [b"+get", b'~"', b'("~a\'b"', b"+get|x)", b">pass", b"(+get ~x)"])
        shown = {name: user.shown() for name, user in server.acl.users.items()}
        text = self.written(server)
        self.assertNotIn("pass ", text.replace("nopass ", ""))
        self.assertLess(text.index("user a "), text.index("# between"))
        again = Server(load(server.settings.path, []))
        for name, user in again.acl.users.items():  # a line for the user default resets it first, as in Redis
            self.assertEqual(user.shown().replace(b"sanitize-payload ", b""), shown.pop(name))
        self.assertEqual(shown, {})

    def test_users_of_included_files_are_not_defined_twice(self) -> None:
        directory = tempfile.mkdtemp()
        included = os.path.join(directory, "users.conf")
        with open(included, "w") as file:
            file.write("user a on\n")
        server = self.server(f"include {included}\n")
        server.acl.change(b"b", [b"on"])
        self.assertNotIn("user a", self.written(server))
        self.assertEqual(sorted(Server(load(server.settings.path, [])).acl.users), [b"a", b"b", b"default"])

    def test_refused_starts(self) -> None:
        for conf, words in (
            ("user a >secret foo\n", ("line 1", "'user a'", "'foo'", "Syntax error")),
            ('user "a b" on\n', ("Spaces not allowed",)),
            ("user a <secret on\n", ("'<(redacted)'",)),
            ("aclfile users.acl\nuser a on\n", ("but not both",)),
            ("aclfile users.acl\n", ("opening file 'users.acl': No such file",)),
        ):
            with self.assertRaises(SystemExit) as caught:
                self.server(conf)
            for word in words:
                self.assertIn(word, str(caught.exception))
            self.assertNotIn("secret", str(caught.exception))

    def test_requirepass(self) -> None:
        """It is the password of the user default, unless there is a line for that user."""
        server = self.server("requirepass x\n")
        self.assertEqual(server.acl.default.passwords, [sum_of(b"x")])
        self.assertTrue(server.acl.must_log_in)
        server.settings.set_many([(b"requirepass", b"")])
        self.assertFalse(server.acl.must_log_in)
        server.settings.set_many([(b"requirepass", b"y")])
        self.assertEqual(server.acl.default.passwords, [sum_of(b"y")])
        server = self.server("user default on >z ~* &* +@all\nrequirepass x\n")
        self.assertEqual(server.acl.default.passwords, [sum_of(b"z")])


class Log(SynchronousTestCase):
    """ACL LOG."""

    def setUp(self) -> None:
        self.server = Server(load(None, []))
        self.client = Client(self.server, None, "1.2.3.4:5")

    def note(self, what: bytes, name: bytes = b"x", after_ms: int = 0) -> None:
        self.server.clock.now_ms += after_ms
        self.server.acl.log.add(self.client, b"command", b"toplevel", what, name)

    def entries(self, count: int = 10) -> list[tuple[bytes, int, float]]:
        return [(one[b"object"], one[b"count"], one[b"age-seconds"]) for one in self.server.acl.log.shown(count)]

    def test_equal_ones_are_counted(self) -> None:
        self.note(b"get")
        self.note(b"set", after_ms=1500)
        self.note(b"get", after_ms=500)
        self.note(b"get", b"y")
        self.assertEqual(self.entries(), [(b"get", 1, 0.0), (b"get", 2, 0.0), (b"set", 1, 0.5)])
        self.assertEqual(len(self.entries(2)), 2)
        self.assertEqual(self.entries(-1), [])

    def test_only_for_a_minute_and_among_the_newest_ten(self) -> None:
        self.note(b"get")
        self.note(b"get", after_ms=60_001)
        self.assertEqual([count for _, count, _ in self.entries()], [1, 1])
        for number in range(10):
            self.note(b"%d" % number)
        self.note(b"get")
        self.assertEqual(self.entries()[0], (b"get", 1, 0.0))

    def test_length(self) -> None:
        self.server.settings.set_many([(b"acllog-max-len", b"3")])
        for number in range(5):
            self.note(b"%d" % number)
        self.assertEqual([what for what, _, _ in self.entries()], [b"4", b"3", b"2"])
        self.server.acl.log.clear()
        self.assertEqual(self.entries(), [])
