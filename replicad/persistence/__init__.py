"""Snapshots: what a backend is, the RDB codec, the backends that come with the package, and when to save."""
