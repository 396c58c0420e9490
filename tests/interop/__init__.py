"""Tests with real peers: redis-server as master, as replica and as reference, and the usual clients and tools."""
