"""The tests of replicad: ``unit`` needs no socket, ``backends`` a directory, ``interop`` real servers and clients."""
