"""How many random sequences of commands the differential tests try.

::

    @sequences(60)
    @given(st.lists(STEP, min_size=10, max_size=60))
    def run(steps): ...

The usual run is short and always the same.  ``REPLICAD_SEQUENCES=10000`` in the environment makes each test try so many new
ones; a failure prints what reproduces it (``REPLICAD_SEED`` chooses where the search begins)::

    REPLICAD_SEQUENCES=10000 pytest tests/interop -k "andom or sequences"
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, seed, settings


def sequences(short: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for a test with ``given``: ``short`` examples, or what the environment says."""
    wanted = os.environ.get("REPLICAD_SEQUENCES")
    given_seed = os.environ.get("REPLICAD_SEED")
    limits = settings(
        max_examples=int(wanted) if wanted else short,
        derandomize=not wanted,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        test = limits(test)
        return seed(int(given_seed))(test) if wanted and given_seed else test

    return decorate
