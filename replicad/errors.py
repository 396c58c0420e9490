"""Every error that a client can be answered, and the error kinds of the package.

Owns: the texts (Redis's words, to the byte) and the exception classes.  Does not own: when they are raised.
Called by everybody; imports nothing of the package.
"""

from __future__ import annotations


class ReplyError(Exception):
    """An error reply.  ``text`` is the whole line without the leading ``-``, for example ``b"ERR syntax error"``.

    Line breaks in it become blanks: what a client sent, and is shown to it again, must not end the line.  Commands raise
    it; the dispatcher turns it into bytes.  The first word is the error code that clients look at.
    """

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = clean(text)

    def release(self) -> None:
        """Forget where it was raised; to be called by whoever catches one.

        Most errors are constants.  Python adds to the traceback of an exception at each raise, and keeps what the frames
        held: without this every error reply would cost memory for ever.
        """
        self.__traceback__ = self.__context__ = None


class ProtocolError(Exception):
    """The peer broke RESP.  ``text`` is the reason in Redis's words; the connection is closed after the reply.

    ``commands`` holds what was complete and valid before the break, to be executed first.
    """

    def __init__(self, text: bytes, commands: list[list[bytes]] | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.commands = commands or []


def err(text: str | bytes) -> ReplyError:
    """An error with the generic code: ``err("no such key")`` is ``-ERR no such key``."""
    return ReplyError(b"ERR " + (text.encode() if isinstance(text, str) else text))


def clean(text: bytes) -> bytes:
    """``text`` as it may stand in an error line: line breaks become blanks, as Redis does it."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def c_string(text: bytes) -> bytes:
    """``text`` up to its first zero byte: what C's formats, and so Redis's errors, show of it."""
    return text.partition(b"\0")[0]


SYNTAX = err("syntax error")
NOT_INTEGER = err("value is not an integer or out of range")
NOT_FLOAT = err("value is not a valid float")
OUT_OF_RANGE = err("value is out of range")
MUST_BE_POSITIVE = err("value is out of range, must be positive")
NO_SUCH_KEY = err("no such key")
OFFSET_OUT_OF_RANGE = err("offset is out of range")
INDEX_OUT_OF_RANGE = err("index out of range")
STRING_TOO_LONG = err("string exceeds maximum allowed size (proto-max-bulk-len)")
OVERFLOW = err("increment or decrement would overflow")
NAN_RESULT = err("increment would produce NaN or Infinity")
TIMEOUT_NEGATIVE = err("timeout is negative")
TIMEOUT_NOT_FLOAT = err("timeout is not a float or out of range")
SAME_OBJECT = err("source and destination objects are the same")
DB_OUT_OF_RANGE = err("DB index is out of range")

WRONG_TYPE = ReplyError(b"WRONGTYPE Operation against a key holding the wrong kind of value")
NO_AUTH = ReplyError(b"NOAUTH Authentication required.")
WRONG_PASS = ReplyError(b"WRONGPASS invalid username-password pair or user is disabled.")
LOADING = ReplyError(b"LOADING Redis is loading the dataset in memory")
MASTER_DOWN = ReplyError(b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
READ_ONLY = ReplyError(b"READONLY You can't write against a read only replica.")
NO_REPLICAS = ReplyError(b"NOREPLICAS Not enough good replicas to write.")
OUT_OF_MEMORY = ReplyError(b"OOM command not allowed when used memory > 'maxmemory'.")
NO_SCRIPT = ReplyError(b"NOSCRIPT No matching script. Please use EVAL.")
BUSY_SCRIPT = ReplyError(
    b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
)
BUSY_FUNCTION = ReplyError(
    b"BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
)
EXEC_ABORT = ReplyError(b"EXECABORT Transaction discarded because of previous errors.")
BUSY_KEY = ReplyError(b"BUSYKEY Target key name already exists.")
UNBLOCKED = ReplyError(
    b"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)
MISCONF = ReplyError(
    b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    b"may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    b"snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    b"error."
)


def wrong_arity(name: bytes) -> ReplyError:
    """The arity error for the command ``name`` (lower case, ``container|sub`` for a subcommand)."""
    return err(b"wrong number of arguments for '%b' command" % clean(name))


def unknown_command(argv: list[bytes]) -> ReplyError:
    """Redis's reply to a command that does not exist, with the arguments it shows (128 bytes of them at most)."""
    shown = b""
    for arg in argv[1:]:
        if len(shown) >= 128:
            break
        shown += b"'%b' " % c_string(arg)[: 128 - len(shown)]
    return err(clean(b"unknown command '%b', with args beginning with: %b" % (c_string(argv[0])[:128], shown)))


def unknown_subcommand(container: bytes, given: bytes) -> ReplyError:
    """Redis's reply to an unknown subcommand of ``container`` (upper case)."""
    return err(clean(b"unknown subcommand '%b'. Try %b HELP." % (c_string(given)[:128], container)))

PROTECTED_MODE = (
    b"DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default "
    b"user. In this mode connections are only accepted from the loopback interface. If you want to connect from external "
    b"computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command "
    b"'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is "
    b"running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make "
    b"this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration "
    b"file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server "
    b"manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication password "
    b"for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting "
    b"connections from the outside."
)
