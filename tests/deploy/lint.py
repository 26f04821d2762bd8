#!/usr/bin/env python3
"""Checks what an operator deploys: deploy/, and what docs/ says about it.

    tests/deploy/lint.py                   everything that needs no build
    tests/deploy/lint.py --configs BIN     the configuration examples, by `BIN check-config`, and the commands that pages name
    tests/deploy/lint.py --prove           breaks one thing after the other and expects to be told

Exit 1: problems, one a line, with their files. What could not be looked at on this machine is said at the end.
"""
import argparse
import pathlib
import sys

sys.dont_write_bytecode = True

from checks import compose, configs, dashboard, docs, metrics, prometheus, servers, units

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Nobody can pull images or open Grafana where this runs.
NEVER = [
    "images are not pulled or built and no container is started",
    "Grafana does not draw the dashboard: its form, its queries' syntax and its metrics are checked",
    "systemd does not start the units: systemd-analyze reads them",
]


def problems(root, source):
    """Every problem of `root`/deploy, and what was not looked at. Metrics are searched in `source`."""
    found, skipped = [], []
    for check in (compose, units, configs, prometheus, dashboard, metrics, servers, docs):
        bad, missed = check.check(root, source)
        found += bad
        skipped += missed
    return found, skipped


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--configs", type=pathlib.Path, metavar="BIN")
    p.add_argument("--prove", action="store_true")
    o = p.parse_args()
    if o.prove:
        import broken
        sys.exit(broken.prove(ROOT))
    found, skipped = (configs.by_binary(ROOT, o.configs), []) if o.configs else problems(ROOT, ROOT)
    for line in found:
        print(line, file=sys.stderr)
    for line in [] if o.configs else NEVER + skipped:
        print(f"deploy: not exercised: {line}")
    print(f"deploy: {len(found)} problem(s)" if found else "deploy: ok")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
