"""Tests of single modules, without a socket and without a process."""
