"""Samples of MIGRATE where no network is needed; what leaves is deleted on replicas in tests/interop/test_migrate.py."""

from __future__ import annotations

from tests.unit.law_samples import rows

#: It meets an expired key.
SAMPLES = {b"MIGRATE": rows("SET a 1 PXAT 1; MIGRATE 127.0.0.1 1 a 0 100")}
SILENT = rows("MIGRATE 127.0.0.1 1 nosuch 0 100")
