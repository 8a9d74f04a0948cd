#!/usr/bin/env python3
"""sqlite.py FILE SECONDS: the naive baseline: a transaction a call, WAL, synchronous=FULL, one connection. Prints
`sqlite_rps=… sqlite_p99_us=…`."""

import sqlite3
import sys
import time

db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE r (k BLOB PRIMARY KEY, v BLOB)")
took, n, value = [], 0, b"x" * 300
begin = time.perf_counter()
while time.perf_counter() < begin + float(sys.argv[2]):
    at = time.perf_counter()
    db.execute("INSERT INTO r VALUES (?, ?)", (n.to_bytes(32, "big"), value))
    took.append(time.perf_counter() - at)
    n += 1
took.sort()
print(f"sqlite_rps={n / (time.perf_counter() - begin):.0f} sqlite_p99_us={took[int(n * 0.99)] * 1e6:.0f}")
