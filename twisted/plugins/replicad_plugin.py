"""Makes ``twistd replicad`` work.  Only this line belongs here: twistd loads the file to list its commands."""

from twisted.application.service import ServiceMaker

replicad = ServiceMaker("replicad", "replicad.tap", "A Redis-compatible server made for replication", "replicad")
