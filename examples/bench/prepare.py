#!/usr/bin/env python3
"""Writes the bench's four rate sheets beside this file: 100,000 prefixes, `1` among them, sold at one price and bought
from three carriers at rising prices, so that the hunt always starts at the first. Seeded: the same files every time."""
import pathlib, random
here = pathlib.Path(__file__).parent
random.seed(7)
prefixes = {"1"}
while len(prefixes) < 100_000:
    prefixes.add(str(random.randint(1, 9)) + "".join(random.choice("0123456789") for _ in range(random.randint(2, 8))))
rows = [(p, random.randint(40, 2000)) for p in sorted(prefixes)]
for name, per_mille in (("sell", 1500), ("cheap", 1000), ("middle", 1100), ("dear", 1200)):
    with open(here / f"{name}.csv", "w") as f:
        f.write("prefix,destination,rate,connect_fee,initial,increment,effective_from\n")
        for prefix, rate in rows:
            f.write(f"{prefix},z{prefix[:2]},0.{rate * per_mille // 1000:05d},,6,6,\n")
