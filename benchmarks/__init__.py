"""Measurements of replicad beside a real redis-server; run ``python -m benchmarks.compare``."""
