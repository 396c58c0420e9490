"""The geo commands: places are members of a sorted set, their scores are geohashes.

Owns: options, units, replies, what is stored.  Does not own the geometry (``geohash``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from replicad import geohash
from replicad.command import command
from replicad.commands.arguments import integer, number
from replicad.commands.geo_order import nearest
from replicad.commands.zsets import zadd
from replicad.errors import SYNTAX, err
from replicad.geohash import Area
from replicad.notifications import ZSET, report
from replicad.resp import NULL_ARRAY, Wire
from replicad.values import SortedSet

if TYPE_CHECKING:
    from replicad.session import Client

_ONE = (1, 1, 1)
_UNITS = {b"M": 1.0, b"KM": 1000.0, b"FT": 0.3048, b"MI": 1609.34}

_BAD_UNIT = err("unsupported unit provided. please use M, KM, FT, MI")
_BAD_RADIUS = err("need numeric radius")
_NEGATIVE_RADIUS = err("radius cannot be negative")
_BAD_WIDTH = err("need numeric width")
_BAD_HEIGHT = err("need numeric height")
_NEGATIVE_BOX = err("height or width cannot be negative")
_NO_MEMBER = err("could not decode requested zset member")
_ANY_ALONE = err("the ANY argument requires COUNT argument")
_BAD_COUNT = err("COUNT must be > 0")


def _unit(text: bytes) -> float:
    unit = _UNITS.get(text.upper())
    if unit is None:
        raise _BAD_UNIT
    return unit


def _place(longitude: bytes, latitude: bytes) -> tuple[float, float]:
    """Longitude and latitude as given by a client."""
    x, y = number(longitude), number(latitude)
    on_map = geohash.LONGITUDE_MIN <= x <= geohash.LONGITUDE_MAX and geohash.LATITUDE_MIN <= y <= geohash.LATITUDE_MAX
    if not on_map:
        raise err(f"invalid longitude,latitude pair {x:f},{y:f}")
    return x, y


def _degrees(client: Client, value: float) -> Any:
    """A coordinate with up to 17 decimals: text in RESP2, a double in RESP3."""
    text = b"%.17f" % value
    text = text.rstrip(b"0").rstrip(b".")
    return text if client.resp == 2 else Wire(b",%b\r\n" % text)


def _coordinates(client: Client, score: float) -> list[Any]:
    longitude, latitude = geohash.decode(score)
    return [_degrees(client, longitude), _degrees(client, latitude)]


@command(b"GEOADD", -5, "write denyoom", _ONE, group="geo", since="3.2.0")
def geoadd(client: Client, argv: list[bytes]) -> Any:
    """Adds places to a sorted set, or moves them; replicas are told the scores.

    GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]
    """
    at, size = 2, len(argv)
    while at < size and argv[at].upper() in (b"NX", b"XX", b"CH"):
        at += 1
    options = [option.upper() for option in argv[2:at]]
    if (size - at) % 3 or (b"NX" in options and b"XX" in options):
        raise SYNTAX
    told = [b"zadd", *argv[1:at]]
    for i in range(at, size, 3):
        told += b"%d" % geohash.encode(*_place(argv[i], argv[i + 1])), argv[i + 2]
    server = client.server
    dirty = server.dirty
    reply = zadd(client, told)
    if server.dirty != dirty:
        server.propagation.replace(*told)
    return reply


@command(b"GEODIST", -4, "readonly", _ONE, group="geo", since="3.2.0")
def geodist(client: Client, argv: list[bytes]) -> bytes | None:
    """Returns the distance between two members.

    GEODIST key member1 member2 [M | KM | FT | MI]
    """
    unit = 1.0
    if len(argv) > 4:
        if len(argv) > 5:
            raise SYNTAX
        unit = _unit(argv[4])
    value = client.db.read(argv[1], SortedSet)
    if value is None:
        return None
    first, second = value.score(argv[2]), value.score(argv[3])
    if first is None or second is None:
        return None
    return b"%.4f" % (geohash.distance(*geohash.decode(first), *geohash.decode(second)) / unit)


def _scores(client: Client, argv: list[bytes]) -> list[float | None]:
    """The scores of the members behind the key."""
    value = client.db.read(argv[1], SortedSet)
    if value is None:
        return [None] * (len(argv) - 2)
    return list(map(value.scores.get, argv[2:]))


@command(b"GEOHASH", -2, "readonly", _ONE, group="geo", since="3.2.0")
def geohash_(client: Client, argv: list[bytes]) -> list[bytes | None]:
    """Returns members as textual geohashes that other programs understand.

    GEOHASH key [member [member ...]]
    """
    return [None if score is None else geohash.standard(*geohash.decode(score)) for score in _scores(client, argv)]


@command(b"GEOPOS", -2, "readonly", _ONE, group="geo", since="3.2.0")
def geopos(client: Client, argv: list[bytes]) -> list[Any]:
    """Returns the longitude and latitude of members.

    GEOPOS key [member [member ...]]
    """
    return [NULL_ARRAY if score is None else _coordinates(client, score) for score in _scores(client, argv)]


#: A member inside the area: its distance in the unit of the area, its name, its score.
Found = tuple[float, bytes, float]

#: So many members of a cell are taken at once; fewer when any will do, because the search ends with the last one wanted.
_SLICE, _SLICE_OF_ANY = 1000, 100


class _Options:
    """What stands behind the place and the radius of GEORADIUS, and all arguments of GEOSEARCH."""

    __slots__ = (
        "any", "box", "count", "from_member", "from_place", "order", "place", "radius", "search", "store",
        "store_distance", "unit", "with_coordinates", "with_distance", "with_hash",
    )  # fmt: skip

    def __init__(self) -> None:
        self.with_distance = self.with_hash = self.with_coordinates = False
        self.any = False
        self.count = 0
        self.order = b""
        self.store: bytes | None = None
        self.store_distance = False
        self.from_member = self.from_place = False
        self.place: tuple[float, float] | None = None
        self.radius: float | None = None
        self.box: tuple[float, float] | None = None
        self.unit = 1.0
        self.search = False

    def read(self, argv: list[bytes], at: int, value: SortedSet | None, search: bool, may_store: bool) -> None:
        """Take the words from position ``at`` on; ``search`` says that the place and the area are among them."""
        self.search = search
        size = len(argv)
        while at < size:
            word = argv[at].upper()
            left = size - at - 1
            if word == b"WITHDIST":
                self.with_distance = True
            elif word == b"WITHHASH":
                self.with_hash = True
            elif word == b"WITHCOORD":
                self.with_coordinates = True
            elif word == b"ANY":
                self.any = True
            elif word in (b"ASC", b"DESC"):
                self.order = word
            elif word == b"COUNT" and left:
                at += 1
                self.count = integer(argv[at])
                if self.count <= 0:
                    raise _BAD_COUNT
            elif not search and may_store and left and word in (b"STORE", b"STOREDIST"):
                at += 1
                self.store, self.store_distance = argv[at], word == b"STOREDIST"
            elif search and may_store and word == b"STOREDIST":
                self.store_distance = True
            elif search and (taken := self._area(word, argv, at, left, value)):
                at += taken
            else:
                raise SYNTAX
            at += 1

    def _area(self, word: bytes, argv: list[bytes], at: int, left: int, value: SortedSet | None) -> int:
        """Take FROMMEMBER, FROMLONLAT, BYRADIUS or BYBOX: the number of their arguments, 0 for anything else.

        The same word may come again, the last one counts.
        """
        if word == b"FROMMEMBER" and left and not self.from_place:
            self.from_member = True
            if value is not None:
                self.place = _place_of(value, argv[at + 1])
            return 1
        if word == b"FROMLONLAT" and left > 1 and not self.from_member:
            self.from_place = True
            self.place = _place(argv[at + 1], argv[at + 2])
            return 2
        if word == b"BYRADIUS" and left > 1 and self.box is None:
            self.radius, self.unit = _radius(argv[at + 1], argv[at + 2])
            return 2
        if word == b"BYBOX" and left > 2 and self.radius is None:
            width, height = number(argv[at + 1], _BAD_WIDTH), number(argv[at + 2], _BAD_HEIGHT)
            if width < 0 or height < 0:
                raise _NEGATIVE_BOX
            self.box, self.unit = (width, height), _unit(argv[at + 3])
            return 3
        return 0


def _place_of(value: SortedSet, member: bytes) -> tuple[float, float]:
    score = value.score(member)
    if score is None:
        raise _NO_MEMBER
    return geohash.decode(score)


def _radius(text: bytes, unit: bytes) -> tuple[float, float]:
    radius = number(text, _BAD_RADIUS)
    if radius < 0:
        raise _NEGATIVE_RADIUS
    return radius, _unit(unit)


def _georadius(client: Client, argv: list[bytes], by_member: bool, may_store: bool) -> Any:
    value = client.db.read(argv[1], SortedSet)
    options = _Options()
    at = 5 if by_member else 6
    if not by_member:
        options.place = _place(argv[2], argv[3])
    elif value is not None:
        options.place = _place_of(value, argv[2])
    if not by_member or value is not None:  # a missing key hides a bad radius
        options.radius, options.unit = _radius(argv[at - 2], argv[at - 1])
    options.read(argv, at, value, False, may_store)
    if options.store is not None and (options.with_distance or options.with_hash or options.with_coordinates):
        raise err("STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
    return _answer(client, value, options)


def _geosearch(client: Client, argv: list[bytes], store: bool) -> Any:
    at = 2 if store else 1
    value = client.db.read(argv[at], SortedSet)
    options = _Options()
    options.read(argv, at + 1, value, True, store)
    if store:
        options.store = argv[1]
        if options.with_distance or options.with_hash or options.with_coordinates:
            raise err("GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
    name = b"GEOSEARCHSTORE" if store else b"GEOSEARCH"
    if not (options.from_place or options.from_member):
        raise err(b"exactly one of FROMMEMBER or FROMLONLAT can be specified for %b" % name)
    if options.radius is None and options.box is None:
        raise err(b"exactly one of BYRADIUS and BYBOX can be specified for %b" % name)
    return _answer(client, value, options)


def _answer(client: Client, value: SortedSet | None, options: _Options) -> Any:
    """Search, sort, cut, and store or reply."""
    if options.any and not options.count:
        raise _ANY_ALONE
    found = [] if value is None else _search(value, options)
    if options.store is not None:
        return _store(client, found, options)
    if not (options.with_distance or options.with_hash or options.with_coordinates):
        return tuple([member for _, member, _ in found])
    out: list[Any] = []
    for distance, member, score in found:
        row: list[Any] = [member]
        if options.with_distance:
            row.append(b"%.4f" % distance)
        if options.with_hash:
            row.append(geohash.bits_of(score))
        if options.with_coordinates:
            row.append(_coordinates(client, score))
        out.append(row)
    return out


def _search(value: SortedSet, options: _Options) -> list[Found]:
    assert options.place is not None
    if options.box is not None:
        width, height = options.box
        area = Area(*options.place, width, height, options.unit)
    else:
        area = Area(*options.place, options.radius or 0.0, None, options.unit)
    step = _SLICE_OF_ANY if options.any else _SLICE
    found: list[Found] = []
    for first, stop in area.ranges():
        low, high = value.bisect_score(first, False), value.bisect_score(stop, False)
        for at in range(low, high, step):
            found += area.inside(value.slice(at, min(at + step, high)))
            if options.any and len(found) >= options.count:
                break
    if options.any:
        del found[options.count :]
    if options.order == b"DESC":
        return nearest([(-one[0], one) for one in found], options.count or len(found))
    if options.order or (options.count and not options.any):
        return nearest([(one[0], one) for one in found], options.count or len(found))
    return found


def _store(client: Client, found: list[Found], options: _Options) -> int:
    db, key = client.db, options.store
    assert key is not None
    if found:
        scores = {member: distance if options.store_distance else score for distance, member, score in found}
        db.put(key, SortedSet.from_scores(scores))
        client.server.dirty += len(found)
        report(client, ZSET, b"geosearchstore" if options.search else b"georadiusstore", key)
    elif db.drop(key):
        client.server.dirty += 1
    return len(found)


def _stored_keys(argv: list[bytes], start: int) -> list[int]:
    """The positions of the keys of GEORADIUS: its own, and those behind the first STORE and the first STOREDIST."""
    out = [1]
    words = [word.upper() for word in argv[start:-1]]
    return out + [start + words.index(word) + 1 for word in (b"STORE", b"STOREDIST") if word in words]


@command(
    b"GEORADIUS", -6, "write denyoom movablekeys", _ONE, group="geo", since="3.2.0",
    find_keys=partial(_stored_keys, start=6),
)  # fmt: skip
def georadius(client: Client, argv: list[bytes]) -> Any:
    """Returns or stores the members within a distance of a place.

    GEORADIUS key longitude latitude radius M | KM | FT | MI [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]
    [ASC | DESC] [STORE key] [STOREDIST key]
    """
    return _georadius(client, argv, False, True)


@command(b"GEORADIUS_RO", -6, "readonly", _ONE, group="geo", since="3.2.10")
def georadius_ro(client: Client, argv: list[bytes]) -> Any:
    """Returns the members within a distance of a place.

    GEORADIUS_RO key longitude latitude radius M | KM | FT | MI [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]
    [ASC | DESC]
    """
    return _georadius(client, argv, False, False)


@command(
    b"GEORADIUSBYMEMBER", -5, "write denyoom movablekeys", _ONE, group="geo", since="3.2.0",
    find_keys=partial(_stored_keys, start=5),
)  # fmt: skip
def georadiusbymember(client: Client, argv: list[bytes]) -> Any:
    """Returns or stores the members within a distance of a member.

    GEORADIUSBYMEMBER key member radius M | KM | FT | MI [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]
    [ASC | DESC] [STORE key] [STOREDIST key]
    """
    return _georadius(client, argv, True, True)


@command(b"GEORADIUSBYMEMBER_RO", -5, "readonly", _ONE, group="geo", since="3.2.10")
def georadiusbymember_ro(client: Client, argv: list[bytes]) -> Any:
    """Returns the members within a distance of a member.

    GEORADIUSBYMEMBER_RO key member radius M | KM | FT | MI [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]]
    [ASC | DESC]
    """
    return _georadius(client, argv, True, False)


@command(b"GEOSEARCH", -7, "readonly", _ONE, group="geo", since="6.2.0")
def geosearch(client: Client, argv: list[bytes]) -> Any:
    """Returns the members inside of a circle or a box around a place or a member.

    GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius M | KM | FT | MI | BYBOX width height
    M | KM | FT | MI [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]
    """
    return _geosearch(client, argv, False)


@command(b"GEOSEARCHSTORE", -8, "write denyoom", (1, 2, 1), group="geo", since="6.2.0")
def geosearchstore(client: Client, argv: list[bytes]) -> Any:
    """Stores the members inside of a circle or a box around a place or a member under another key.

    GEOSEARCHSTORE destination source FROMMEMBER member | FROMLONLAT longitude latitude BYRADIUS radius M | KM | FT | MI |
    BYBOX width height M | KM | FT | MI [ASC | DESC] [COUNT count [ANY]] [STOREDIST]
    """
    return _geosearch(client, argv, True)
