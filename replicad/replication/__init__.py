"""Replication: one shared history of bytes, an upstream link, downstream replicas.

``history`` is the stream that this server offers to its replicas, ``link`` the conversation of a replica with
its master as pure data, ``upstream`` and ``downstream`` the two ends of real connections. A chained server uses
all four at once: what ``upstream`` applies goes into ``history`` untouched, and ``downstream`` reads it there.
"""
