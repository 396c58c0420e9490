"""Samples of the HyperLogLog commands."""

from __future__ import annotations

from tests.unit.law_samples import rows

_MANY = " ".join(str(number) for number in range(2000))

SAMPLES = {
    b"PFADD": rows(
        "PFADD h",
        "PFADD h a b c",
        "PFADD h a; EXPIRE h 100; PFADD h b",
        f"PFADD h a; PFADD h {_MANY}",
        f"PFADD h {_MANY}; PFADD h new",
        "PFADD h a; PEXPIREAT h 1; PFADD h a",
    ),
    b"PFCOUNT": rows("PFADD h a b; PFCOUNT h", f"PFADD h {_MANY}; EXPIRE h 100; PFCOUNT h"),
    b"PFMERGE": rows(
        "PFMERGE m",
        "PFADD a 1 2; PFADD b 2 3; PFMERGE m a b",
        f"PFADD a {_MANY}; PFADD m x; EXPIRE m 100; PFMERGE m a missing",
        "PFADD m x; PFMERGE m",
    ),
    b"PFDEBUG": rows("PFADD h a; PFDEBUG TODENSE h", "PFADD h a; PFDEBUG GETREG h"),
}

SILENT = rows(
    "PFADD h a; PFADD h a",
    "PFADD h a; PFADD h",
    "PFADD h a; PFCOUNT h; PFCOUNT h",
    "PFADD h a; PFCOUNT h missing",
    "PFCOUNT missing",
    "PFADD h a; PFDEBUG ENCODING h",
    "PFADD h a; PFDEBUG TODENSE h; PFDEBUG TODENSE h",
)
