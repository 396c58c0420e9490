"""Several scenarios at the same time: most of them wait for something that happens once a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def together(*scenarios: Callable[[], Any]) -> None:
    """Run each of `scenarios` in a thread of its own and raise the first failure, when all have ended."""
    failures: list[Exception] = []

    def run(scenario: Callable[[], Any]) -> None:
        try:
            scenario()
        except Exception as error:
            error.add_note(f"in {getattr(scenario, '__name__', scenario)}")
            failures.append(error)

    threads = [threading.Thread(target=run, args=(scenario,), daemon=True) for scenario in scenarios]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
