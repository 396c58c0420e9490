"""Samples of the geo commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

_SICILY = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.5 37.8 Marsala"

SAMPLES = {
    b"GEOADD": rows(
        _SICILY,
        "GEOADD g 13.361389 38.115556 Palermo",
        f"{_SICILY}; EXPIRE g 100; GEOADD g 13.3 38.1 Palermo",
        f"{_SICILY}; GEOADD g NX CH 13.3 38.1 Palermo 1 2 new",
        f"{_SICILY}; geoadd g xx ch 13.3 38.1 Palermo 1 2 new",
        "GEOADD g 180 85.05112878 corner -180 -85.05112878 other",
        "ZADD g 1 a; PEXPIREAT g 1; GEOADD g 1 2 a",
        f"{_SICILY}; SELECT 3; GEOADD g 1 1 a",
    ),
    b"GEORADIUS": rows(
        f"{_SICILY}; GEORADIUS g 15 37 200 km STORE d",
        f"{_SICILY}; SET d old EX 100; GEORADIUS g 15 37 200 km STOREDIST d COUNT 1 DESC",
        f"{_SICILY}; SET d old; GEORADIUS g 0 0 1 m STORE d",
        "SET d old; GEORADIUS missing 0 0 1 m STORE d",
    ),
    b"GEORADIUSBYMEMBER": rows(
        f"{_SICILY}; GEORADIUSBYMEMBER g Palermo 200 mi STORE d",
        f"{_SICILY}; GEORADIUSBYMEMBER g Palermo 200 mi STOREDIST g",
        "SET d old; GEORADIUSBYMEMBER missing Palermo 1 m STORE d",
    ),
    b"GEOSEARCHSTORE": rows(
        f"{_SICILY}; GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km",
        f"{_SICILY}; GEOSEARCHSTORE d g FROMMEMBER Palermo BYBOX 400 400 km STOREDIST COUNT 2 ANY",
        f"{_SICILY}; EXPIRE g 100; GEOSEARCHSTORE g g FROMMEMBER Palermo BYRADIUS 1 ft",
        f"{_SICILY}; SET d old; GEOSEARCHSTORE d g FROMLONLAT 0 0 BYBOX 1 1 m",
        "SET d old; GEOSEARCHSTORE d missing FROMMEMBER x BYBOX 1 1 m",
    ),
}

SILENT = rows(
    f"{_SICILY}; GEOADD g 13.361389 38.115556 Palermo",
    f"{_SICILY}; GEOADD g NX 1 1 Palermo",
    "GEOADD g XX 1 1 Palermo",
    f"{_SICILY}; GEORADIUS g 15 37 200 km",
    f"{_SICILY}; GEORADIUS g 0 0 1 km STORE d",
    f"{_SICILY}; GEOSEARCHSTORE d g FROMLONLAT 0 0 BYBOX 1 1 m",
    "GEOSEARCHSTORE d missing FROMLONLAT 0 0 BYBOX 1 1 m",
)
