"""Users and their rights, beside a real redis-server: rules, checks, ACL LOG, logging in, subscribers, scripts."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.connection import Argument, RespError
from tests.support.twohead import Pair, TwoHeadedTestCase

#: Commands of later versions, which a real 7.0 does not know.
LATER = (b"hexp", b"hpexp", b"httl", b"hpttl", b"hpersist", b"hsetex", b"hgetex", b"hgetdel", b"waitaof", b"client|")


def comparable(value: Any) -> Any:
    """A reply with the single commands of each rule string in order: with Redis theirs is that of a random seed."""
    if isinstance(value, (list, tuple)):
        return [comparable(one) for one in value]
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items()}
    if isinstance(value, bytes) and (b"+@all" in value or b"-@all" in value):
        return b" (".join(_in_order(part) for part in value.split(b" ("))
    return value


def _in_order(text: bytes) -> bytes:
    end = b")" if text.endswith(b")") else b""
    words = text.removesuffix(b")").split(b" ")
    start = next((i for i, word in enumerate(words) if word in (b"+@all", b"-@all")), len(words))
    rules = words[start:]
    categories = [word for word in rules if b"@" in word]
    single = sorted(word for word in rules if b"@" not in word and not word[1:].startswith(LATER))
    return b" ".join(words[:start] + categories + single) + end


class AclTestCase(TwoHeadedTestCase):
    """Takes away, after each test, the users that it made."""

    def setUp(self) -> None:
        """See `TwoHeadedTestCase.setUp`."""
        super().setUp()
        self.addCleanup(self.forget)
        self.do("ACL", "LOG", "RESET")

    def forget(self) -> None:
        """Leave one user and one set of settings behind."""
        pair = self.open_pair()
        for server in (pair.real, pair.ours):
            for name in server.must("ACL", "USERS"):
                if name != b"default":
                    server.must("ACL", "DELUSER", name)
            server.must("CONFIG", "SET", "acl-pubsub-default", "resetchannels", "acllog-max-len", "128")
            server.must("ACL", "LOG", "RESET")

    def user(self, name: str, *rules: Argument) -> Any:
        """ACL SETUSER."""
        return self.do("ACL", "SETUSER", name, *rules)

    def log_in(self, name: str, resp: int | None = None) -> Pair:
        """A connection to each as this user, who needs no password."""
        pair = self.open_pair(resp)
        self.assertEqual(pair.do("AUTH", name, "x"), b"OK")
        return pair

    def same(self, *args: Argument, pair: Pair | None = None) -> Any:
        """Equal replies up to the order of commands in rules."""
        real, ours = (pair or self.pair).both(*args)
        self.assertEqual(comparable(ours), comparable(real), args)
        return real

    def same_user(self, name: str) -> None:
        """The user is shown alike in all ways."""
        self.same("ACL", "GETUSER", name)
        self.same("ACL", "LIST")


class Rules(AclTestCase):
    """ACL SETUSER and what it makes."""

    def test_every_rule(self) -> None:
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        for rules in (
            "", "on", "ON", "off", "nopass", ">abc", ">abc >abc >def", ">abc <abc", "<abc", f"#{digest}", f"!{digest}",
            "#x", "!x", f">abc !{digest}", ">abc nopass", "nopass >abc", ">abc resetpass", ">", "sanitize-payload",
            "skip-sanitize-payload", "+@all", "allcommands", "+@all nocommands", "+get", "+GET -get", "+@all -get",
            "+@all -get +get", "+config", "-config", "+config|get", "+config -config|set", "+@all -config +config|get",
            "+config|nope", "-config|nope", "+config|get|x", "+select|0", "+select|0 +select|1 +select",
            "+select|0 -select", "+select|AbC +select|aBc", "-select|0", "+get|", "+config|", "+get||", "+|get", "+a|b",
            "+", "-", "+@", "+@nope", "-@nope", "+@read", "+@READ -@Write", "+@read +@write", "+@all -@dangerous",
            "+@all -@admin -@dangerous", "+@slow", "+@fast +@slow", "+@string +@hash -get", "+@all -@string +get",
            "+select|1 +@connection", "+select|1 -@connection", "+@all +sort|x -@slow", "+@pubsub +@fast +subscribe",
            "~a", "~a ~b ~a", "~", "~*", "~a ~*", "~* ~a", "allkeys", "allkeys resetkeys ~a", "%R~a", "%r~a %w~a",
            "%RW~a", "%WR~a", "%R~*", "%RW~*", "~a %RW~* ~b", "%R", "%", "%~a", "%X~a", "%RR~a", "%RWR~a", "~* %R~a",
            "&a", "&a &b &a", "&*", "&* &a", "allchannels", "allchannels resetchannels", "&", "(+get ~a)",
            "(+get) (+set)", "( +get ~a )", "(+get ~a", "( )", "()", "(()", ")", "(on)", "(>x)", "(+nope)", "(reset)",
            "(+get) clearselectors", "(+get\t+set)", '("+get")', '(+get "~a)', "(allkeys ~a)",
            "(+@all -get) (%R~a &b -@all +set)", "reset", "on >abc ~* &* +@all (+get) reset", "nope", "on nope",
            "-@all +@all (-@all +@all -config)",
        ):  # fmt: skip
            self.user("u", "reset", *rules.split(" "))
            self.same_user("u")
        self.do_all(
            "ACL SETUSER", "ACL GETUSER", "ACL GETUSER nobody", "ACL SETUSER new nope", "ACL GETUSER new", "ACL USERS"
        )

    def test_odd_bytes(self) -> None:
        for name in (b"a b", b"a\x00", b"a\t", b"\xff", b"", "é"):
            self.do("ACL", "SETUSER", name, "on")
        for rule in (b"~a b", b"~a\x00b", b"&a\nb", b"~\xff", b"+get\x00", b"on\x00", b"~a\x0bb", b">\x00p", b"", b"&\xfe*"):
            self.do("ACL", "SETUSER", "u", rule)
            self.same_user("u")

    def test_in_resp3(self) -> None:
        three = self.open_pair(3)
        three.do("ACL", "SETUSER", "u", "on", "nopass", "~a", "+get", "(%R~b &c +set)")
        self.same("ACL", "GETUSER", "u", pair=three)
        self.same("ACL", "LIST", pair=three)

    def test_acl_pubsub_default(self) -> None:
        self.do("CONFIG", "SET", "acl-pubsub-default", "allchannels")
        for rules in ([], ["reset"], ["(+get)"], ["resetchannels", "&a"]):
            self.user("u", *rules)
            self.same_user("u")

    def test_deluser(self) -> None:
        self.user("a")
        self.user("b")
        self.do_all("ACL DELUSER a default", "ACL DELUSER nobody a b b", "ACL USERS", "ACL DELUSER")

    RULES = (
        *(
            "+@all",
            "-@all",
            "+get",
            "-get",
            "+set",
            "-set",
            "+config",
            "-config",
            "+config|get",
            "-config|get",
            "+config|set",
        ),
        *(
            "+select|0",
            "+select|1",
            "+select",
            "-select",
            "+sort|x",
            "+mget",
            "-del",
            "+acl|whoami",
            "+client|id",
            "-client",
        ),
        *("+@read", "-@read", "+@write", "-@write", "+@string", "-@string", "+@keyspace", "-@keyspace", "+@slow", "-@slow"),
        *("+@fast", "-@fast", "+@dangerous", "-@dangerous", "+@connection", "-@connection", "+@set", "+@list", "-@list"),
        *(
            "~a*",
            "~b",
            "%R~c",
            "%W~d",
            "%RW~a*",
            "allkeys",
            "resetkeys",
            "%W~c",
            "&x",
            "&y*",
            "resetchannels",
            "allchannels",
        ),
        *("(+get ~a)", "(+@all ~c &z)", "(%R~d +@read)", "(+publish &q)", "clearselectors", "nope", "(+nope)"),
    )
    COMMANDS = tuple(
        text.split()
        for text in (
            *("GET a", "GET b", "GET c", "GET d", "SET a 1", "SET c 1", "SET d 1 GET", "MGET a c", "DEL d", "CONFIG GET x"),
            *("CONFIG SET x y", "SELECT 0", "SELECT 1", "ACL WHOAMI", "CLIENT ID", "PING", "PUBLISH x m", "SUBSCRIBE yy q"),
            *("PSUBSCRIBE y*", "SORT a", "COPY c d", "LPUSH a x", "SINTERCARD 2 a c", "KEYS *", "XREAD STREAMS a c 0 0"),
        )
    )

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.lists(st.lists(st.sampled_from(RULES), min_size=1, max_size=4), min_size=1, max_size=6))
    def test_random_rules(self, changes: list[list[str]]) -> None:
        """The same replies, the same rules shown, and DRYRUN says the same of many commands."""
        self.user("u", "reset")
        for rules in changes:
            self.user("u", *rules)
        self.same("ACL", "GETUSER", "u")
        for pair in (self.pair,):
            for words in self.COMMANDS:
                pair.send("ACL", "DRYRUN", "u", *words)
            for words in self.COMMANDS:
                pair.read(f"{changes}: {words}")


    def test_what_is_shown_of_any_commands_and_categories(self) -> None:
        """The categories that are shown are found from the commands alone, so every name may tip the scales."""
        chosen = Random(7)
        names = [b"@" + name for name in self.do("ACL", "CAT")] * 10 + [b"@all"] * 20
        names += self.pair.real.must("COMMAND", "LIST")
        for _ in range(150):
            rules = [chosen.choice((b"+", b"-")) + chosen.choice(names) for _ in range(chosen.randint(1, 25))]
            self.user("u", "reset", *rules)
            self.same("ACL", "GETUSER", "u")


class Checks(AclTestCase):
    """What a user may do."""

    def test_commands_keys_and_channels(self) -> None:
        self.user("u", "reset", "on", "nopass", "~a*", "%R~r*", "%W~w*", "+@all", "-acl", "-debug", "&chan*")
        one = self.log_in("u")
        self.do_all("RPUSH alist 1", "SADD rset a", "SET rstring x")
        for words in (
            "SET r1 x", "SET w1 x", "SET w1 x GET", "SET w1 GET", "SET a GET GET", "SET w1 x EX GET", "GET w1",
            "GET rstring", "GETEX r1", "GETDEL r1", "COPY r1 w1", "COPY w1 r1", "RENAME w1 a1", "MSET w1 1 w2 2",
            "MSET a1 1 zz 2", "MSET a1", "DEL w1", "DEL r1", "EXISTS w1 r1", "EXISTS zz", "STRLEN w1", "TYPE w1",
            "TYPE zz", "BITFIELD r1 GET u8 0", "BITFIELD w1 GET u8 0", "BITFIELD w1 SET u8 0 1", "BITFIELD r1 FOO SET",
            "BITFIELD r1 OVERFLOW WRAP", "LCS r1 w1", "SUNIONSTORE w1 r1 r2", "SUNIONSTORE r1 r1",
            "ZUNIONSTORE w1 2 r1 r2", "ZUNIONSTORE zz x r1", "ZUNIONSTORE zz 5 r1", "OBJECT ENCODING zz", "OBJECT nope",
            "OBJECT nope zz", "MEMORY USAGE zz", "XREAD STREAMS r1 zz 0 0", "XREAD STREAMS zz a 0",
            "XGROUP CREATE r1 g $ MKSTREAM", "XREADGROUP GROUP g c STREAMS zz >", "GEORADIUS r1 0 0 1 m STORE w1",
            "GEORADIUS r1 0 0 1 m STORE r1", "GEORADIUS a1 0 0 1 m STORE r1 STORE a2", "LMPOP 2 a1 zz LEFT",
            "LMPOP x zz y LEFT", "BLPOP zz 0", "BLPOP a9 zz 0", "BITOP AND zz r1", "BITOP AND w1 zz", "RESTORE zz 0 x",
            "SORT_RO zz", "XINFO STREAM zz", "SORT rset STORE r2", "SORT zz BY nosort", "PFCOUNT w1", "PFMERGE w1 r1",
            "SMOVE a1 zz x", "WATCH zz", "WATCH r1", "UNWATCH", "KEYS zz*", "TOUCH zz", "MIGRATE h 1 zz 0 1",
            "MIGRATE h p k d t KEYS a1", "PUBLISH chan1 x", "PUBLISH foo x", "SPUBLISH foo x", "SPUBLISH chan1 x",
            "ACL WHOAMI", "ACL", "ACL nope", "CONFIG", "CONFIG nope", "FOO zz", "GET", "DEBUG x", "EVALSHA abc 1 zz",
            "EVAL_RO return 1 w1", "EVAL x 1", "COMMAND nope", "COMMAND GETKEYS get zz", "RANDOMKEY nope",
            "SUBSCRIBE chan1 foo", "PSUBSCRIBE chan1*", "PSUBSCRIBE chan*", "SSUBSCRIBE foo", "UNSUBSCRIBE foo", "PING",
            "GET zz", "PUNSUBSCRIBE", "QUIT",
        ):  # fmt: skip
            one.do(*words.split())

    def test_sort_reads_keys_that_are_not_named(self) -> None:
        self.do("RPUSH", "a", "1", "2")
        self.user("u", "on", "nopass", "~a", "+@all")
        one = self.log_in("u")
        for words in (
            "SORT a BY w*",
            "SORT a BY nosort",
            "SORT a GET #",
            "SORT a BY x GET y*",
            "SORT_RO a GET x*",
            "SORT a GET",
        ):
            one.do(*words.split())
        self.user("u", "%R~*")
        for words in ("SORT a BY w*", "SORT a GET #"):
            one.do(*words.split())

    def test_selectors(self) -> None:
        self.user("u", "on", "nopass", "+set", "~a", "(+get ~b)", "(+@read ~c)", "(+lcs ~d)", "(+lcs ~e)", "(+publish &x)")
        one = self.log_in("u")
        for words in ("SET a 1", "GET a", "GET b", "GET c", "GET d", "LCS d d", "LCS d e", "LCS d a", "MGET c a", "PING",
                      "SET b 1", "PUBLISH x y", "PUBLISH y y"):  # fmt: skip
            one.do(*words.split())
            self.do("ACL", "DRYRUN", "u", *words.split())

    def test_dryrun(self) -> None:
        self.user("u", "+@all", "-acl", "~a", "&c")
        for words in (
            "u get a", "u get z", "u publish z m", "u acl whoami", "u acl", "u acl nope", "u get", "u auth x", "u quit",
            "nobody get", "u nope", "u", "u subscribe c z", "u psubscribe c", "u config", "u eval x 1 z", "u eval x 5 z",
            "u eval x y z", "u ACL CAT", "default get a", "u config|get x", "u command", "u sort a by x*",
        ):  # fmt: skip
            self.do("ACL", "DRYRUN", *words.split())

    def test_transactions(self) -> None:
        self.user("u", "on", "nopass", "+@all", "~a", "&c")
        one = self.log_in("u")
        one.do("MULTI")
        one.do("SET", "a", "1")
        self.assertIn("NOPERM", one.do("SET", "b", "1").text)
        self.assertIn("EXECABORT", one.do("EXEC").text)
        for change in ("-set", "resetkeys", "resetchannels"):
            self.user("u", "+@all", "resetkeys", "~a", "resetchannels", "&c")
            for words in ("MULTI", "SET a 2", "GET a", "PUBLISH c m"):
                one.do(*words.split())
            self.user("u", change)
            one.do("EXEC")
            self.do("GET", "a")
        self.user("u", "+@all", "~a")
        one.do("MULTI")
        self.user("u", "-exec")
        one.do("EXEC")
        one.do("GET", "a")
        self.user("u", "+exec", "-multi", "-discard")
        one.do("MULTI")
        one.do("DISCARD")

    def test_a_transaction_takes_its_own_rights(self) -> None:
        self.user("u", "on", "nopass", "+@all", "~*")
        one = self.log_in("u")
        for words in ("MULTI", "SET a 1", "ACL SETUSER u -set", "SET a 2", "EXEC", "SET a 3"):
            one.do(*words.split())
        self.do("GET", "a")

    def test_scripts(self) -> None:
        self.user("u", "on", "nopass", "+@all", "-set", "~a", "&c", "-acl")
        one = self.log_in("u")
        for body in (
            *("return redis.call('get','a')", "return redis.pcall('get','z')", "return redis.pcall('set','a','1')"),
            *("return redis.pcall('publish','z','m')", "return redis.acl_check_cmd('get','a')"),
            *("return redis.acl_check_cmd('get','z')", "return redis.acl_check_cmd('acl','whoami')"),
            *("return redis.acl_check_cmd('get')"),
            "return redis.pcall('sort','a','get','x*')",
        ):
            one.do("EVAL", body, "0")
        one.do("EVAL", "return 1", "1", "z")
        self.log_entries()

    def log_entries(self, resp: int = 2, *more: str) -> Any:
        """ACL LOG of both is equal but for times, connections and ports."""
        logs = []
        pair = self.open_pair(resp)
        for log in pair.both("ACL", "LOG", *more):
            entries = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True)) for one in log]
            for one in entries:
                self.assertLess(float(one.pop(b"age-seconds")), 60)
                fields = dict(word.split(b"=", 1) for word in one.pop(b"client-info").split())
                one[b"client"] = fields[b"user"], fields[b"cmd"], fields[b"db"], fields[b"sub"]
            logs.append(entries)
        self.assertEqual(logs[1], logs[0])
        return logs[0]

    def test_log(self) -> None:
        self.user("u", "on", "nopass", "+@all", "-ping", "~a", "&c")
        one = self.log_in("u")
        for words in (
            "PING",
            "PING",
            "GET z",
            "GET zz",
            "GET z",
            "MGET a z",
            "PUBLISH z m",
            "MULTI",
            "GET z",
            "GET a",
            "PING",
        ):
            one.do(*words.split())
        one.do("DISCARD")
        for words in ("AUTH nobody x", "auth u2 y", "HELLO 3 AUTH nobody x", "AUTH default"):
            self.open_pair().do(*words.split())
        entries = self.log_entries()
        self.assertEqual(entries[-1][b"count"], 2)
        self.log_entries(3)
        self.log_entries(2, "2")
        self.do_all("ACL LOG x", "ACL LOG -1", "ACL LOG 0", "ACL LOG 1 2", "ACL LOG RESET x")
        self.do("CONFIG", "SET", "acllog-max-len", "2")
        one.do("GET", "y")
        self.assertEqual(len(self.log_entries()), 2)
        self.do_all("ACL LOG RESET", "ACL LOG")

    def test_what_is_not_shown(self) -> None:
        """Passwords are neither in the slow log nor seen by MONITOR."""
        watcher = self.open_pair()
        watcher.do("MONITOR")
        self.do_all("CONFIG SET slowlog-log-slower-than 0", "SLOWLOG RESET")
        self.addCleanup(self.do, "CONFIG", "SET", "slowlog-log-slower-than", "10000")
        self.user("u", "on", ">secret", "+@all")
        self.do_all("AUTH u secret", "AUTH u wrong-secret", "HELLO 2 AUTH u wrong-secret", "AUTH default x")
        self.both("HELLO", "2", "AUTH", "u", "secret")
        for log in self.both("SLOWLOG", "GET"):
            self.assertNotIn(b"secret", b" ".join(word for entry in log for word in entry[3]))
        self.do("ECHO", "end")
        for server in (watcher.real, watcher.ours):
            seen = b""
            while b"end" not in seen:
                line = server.read_reply()
                self.assertNotIn(b"secret", line)
                seen = line


class LoggingIn(AclTestCase):
    """AUTH, HELLO AUTH, RESET, requirepass, and the end of a user."""

    def test_auth(self) -> None:
        self.user("u", "on", ">one", ">two", "+@all", "~*")
        one = self.open_pair()
        for words in (
            *("AUTH u one", "ACL WHOAMI", "AUTH u three", "ACL WHOAMI", "AUTH default x", "ACL WHOAMI", "HELLO 2 AUTH u no"),
            *(
                "ACL WHOAMI",
                "AUTH nobody x",
                "AUTH x",
                "AUTH u one x",
                "AUTH",
                "SELECT 3",
                "AUTH u two",
                "RESET",
                "ACL WHOAMI",
            ),
        ):
            one.do(*words.split())
        self.user("u", "off")
        one.do("AUTH", "u", "one")
        self.user("u", "on", "resetpass")
        one.do("AUTH", "u", "")
        self.user("u", "reset", "on", "nopass")
        for words in ("AUTH u anything", "PING", "ACL WHOAMI", "HELLO", "RESET", "PING"):
            one.both(*words.split()) if words == "HELLO" else one.do(*words.split())

    def test_user_of_client_list(self) -> None:
        self.user("u", "on", "nopass", "+@all")
        one = self.log_in("u")
        for server in (one.real, one.ours):
            self.assertIn(b" user=u ", server.must("CLIENT", "INFO"))
            self.assertIn(b" user=u ", server.must("CLIENT", "LIST"))
        self.do_all("CLIENT KILL USER nobody", "CLIENT KILL USER u", "CLIENT KILL USER u")
        self.assert_closed(one)

    def assert_closed(self, pair: Pair) -> None:
        """Both servers have closed the connection."""
        for server in (pair.real, pair.ours):
            self.assertEqual(server.recv_until_closed(), b"")

    def test_password_of_default(self) -> None:
        self.user("root", "on", "nopass", "+@all", "~*", "&*")
        root = self.log_in("root")
        early = self.open_pair()
        early.do("PING")  # now it is accepted, as one that needs no password
        self.addCleanup(root.do, "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
        self.addCleanup(root.do, "CONFIG", "SET", "requirepass", "")
        for change in (
            "ACL SETUSER default >x", "CONFIG SET requirepass foo", "ACL SETUSER default >y", "CONFIG SET requirepass q",
            "ACL SETUSER default nopass", "CONFIG SET requirepass q", "ACL SETUSER default off",
            "CONFIG SET requirepass z", "ACL SETUSER default on", "ACL SETUSER default resetpass",
            "ACL SETUSER default >z -ping", "ACL SETUSER default +ping",
        ):  # fmt: skip
            root.do(*change.split())
            self.same("ACL", "LIST", pair=root)
            root.do("CONFIG", "GET", "requirepass")
            late = self.open_pair()
            for words in (
                "PING",
                "NOPE",
                "AUTH foo",
                "PING",
                "AUTH q",
                "AUTH default z",
                "PING",
                "RESET",
                "PING",
                "AUTH y",
                "HELLO 4",
            ):
                late.do(*words.split())
            early.do("PING")
            late.close()

    def test_rights_change_at_once(self) -> None:
        self.user("u", "on", "nopass", "+@all", "~*")
        one = self.log_in("u")
        for rule in ("-get", "+get", "resetkeys", "(~k +get)", "off", "reset", "+get", "allkeys"):
            self.user("u", rule)
            one.do("GET", "k")

    def test_end_of_a_user(self) -> None:
        self.user("u", "on", "nopass", "+@all", "~*")
        one, blocked = self.log_in("u"), self.log_in("u")
        blocked.send("BLPOP", "k", "0")
        self.wait_blocked()
        self.do("ACL", "DELUSER", "u")
        self.assert_closed(one)
        self.assert_closed(blocked)
        self.user("u", "on", "nopass", "+@all", "~*")
        one = self.log_in("u")
        self.assertEqual(one.do("ACL", "DELUSER", "u"), 1)
        self.assert_closed(one)

    def test_subscribers(self) -> None:
        """Who listens to something the user may not hear any more is cut off."""
        self.user("u", "on", "nopass", "+@all", "&chan*", "&other")
        pairs = {}
        for words in ("SUBSCRIBE chan1", "PSUBSCRIBE chan*", "SSUBSCRIBE chan9", "SUBSCRIBE other chan2", "PING"):
            pairs[words] = self.log_in("u")
            pairs[words].send(*words.split())
            for _ in words.split()[1:] or ("reply",):
                pairs[words].read(words)

        def change(*rules: str, closes: str = "") -> None:
            self.user("u", *rules)
            for words, pair in list(pairs.items()):
                if words == closes:
                    self.assert_closed(pairs.pop(words))
                else:
                    pair.do("PING")

        change("&more")
        change("resetchannels", "&chan?", "&chan*", "&other")
        change("resetchannels", "&chan*", "(+@all &other)")
        change("clearselectors", closes="SUBSCRIBE other chan2")
        change("resetchannels", "&chan?", closes="PSUBSCRIBE chan*")
        change("resetchannels", "&chan1", closes="SSUBSCRIBE chan9")
        change("off", "allchannels")
        change("resetchannels", closes="SUBSCRIBE chan1")

    def test_categories(self) -> None:
        for category in self.do("ACL", "CAT"):
            real, ours = self.both("ACL", "CAT", category)
            if not isinstance(real, RespError):
                self.assertEqual(set(real) - set(ours) - {b"module|loadex"}, set(), category)
        self.do_all("ACL CAT nope", "ACL CAT a b", "ACL GENPASS 1 2", "ACL GENPASS -1")
