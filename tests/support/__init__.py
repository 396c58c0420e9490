"""What the tests share: server processes, a blocking client, a proxy with faults, the two-headed test case."""
