"""replicad: a Redis-compatible server in Python on Twisted, made for replication.

It is a master for real Redis and Valkey replicas, a replica of real masters, a link in a chain, and it stores its
dataset through pluggable snapshot backends.  How the pieces fit::

    bytes in -> client.dataReceived -> dispatch.run ---> TABLE[name].fn(client, argv) -> keyspace -> reply bytes out
                                           |                                              |
                                           | dirty moved                                  | before a key changes
                                           v                                              v
                                     propagation  -> history (replid, offset, backlog)    expiry, watches, blocked clients
                                           |                   |
                                           |             downstream replicas (a cursor into history each)
                                           v
                                     snapshot backends: rdb file, lmdb, plugin; image for a new replica
    upstream master -> link (sans-IO) -> same TABLE, same keyspace, same history (bytes forwarded untouched)

A reading order: ``command``, ``dispatch``, ``keyspace``, ``commands/strings``, ``propagation``, ``replication/history``,
``replication/link``, ``persistence/interfaces``, and last ``server``, which wires all of it.
"""

__version__ = "0.1.0"

#: The version that clients are told: the command surface and the protocol are those of this Redis release.
REDIS_VERSION = "7.0.15"
