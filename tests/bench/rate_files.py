#!/usr/bin/env python3
"""`tollgate rate` at size, beside DuckDB copying the same file and DuckDB rating it in SQL, in one run.

    python3 -m pip install duckdb
    cargo build --release && cargo build --release -p tollgate-rating --example traffic
    tests/bench/rate_files.py [--calls 10000000] [--folder /tmp/rate] [--rounds 3]

CPU is user + system of the process; memory is its peak resident set. The files stay in the folder for the next run.
"""
import argparse, os, resource, subprocess, sys, textwrap, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(command, **kwargs):
    """Wall and CPU seconds and peak MB of a process."""
    start = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, **kwargs)
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: exit code {process.returncode}\n{said}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def duckdb(sql):
    return [sys.executable, "-c", "import duckdb, sys; duckdb.sql('set enable_progress_bar=false'); duckdb.sql(\"set timezone='UTC'\"); duckdb.sql(sys.argv[1])", textwrap.dedent(sql)]


COPY = "copy (select * from '{calls}') to '{out}' (format parquet)"
# One deck, no dates, as DuckDB would do it: a join on the longest prefix that matches.
RATE = """
copy (
  with deck as (select prefix::varchar as prefix, destination, rate, initial, increment, connect_fee from read_csv('{deck}', types={{'prefix': 'varchar', 'rate': 'decimal(18,12)'}})),
  calls as (select *, greatest(ceil(epoch("end" - answer)), 1)::bigint as s from '{calls}'),
  found as (select c.*, coalesce(d8.prefix, d7.prefix, d6.prefix, d5.prefix, d4.prefix, d3.prefix) as prefix from calls c
    left join deck d8 on d8.prefix = substr(c."to", 2, 8) left join deck d7 on d7.prefix = substr(c."to", 2, 7)
    left join deck d6 on d6.prefix = substr(c."to", 2, 6) left join deck d5 on d5.prefix = substr(c."to", 2, 5)
    left join deck d4 on d4.prefix = substr(c."to", 2, 4) left join deck d3 on d3.prefix = substr(c."to", 2, 3)),
  billed as (select f.*, d.destination, d.rate, case when answer is null then 0 when s <= d.initial then greatest(d.initial, 1)
      else d.initial + ((s - d.initial + d.increment - 1) // d.increment) * d.increment end as billed_seconds
    from found f left join deck d using (prefix))
  select * exclude (s), round((billed_seconds * rate / 60)::decimal(18, 9), 6) as amount from billed
) to '{out}' (format parquet)
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--folder", default="/tmp/rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tollgate", default=f"{ROOT}/target/release/tollgate")
    args = parser.parse_args()
    traffic = f"{ROOT}/target/release/examples/traffic"
    os.makedirs(args.folder, exist_ok=True)
    at = lambda name: os.path.join(args.folder, name)

    def make(name, *command):
        if not os.path.exists(at(name)):
            with open(at(name + ".new"), "wb") as out:
                subprocess.run([traffic, *map(str, command)], stdout=out, check=True)
            os.rename(at(name + ".new"), at(name))

    for deck in range(50):
        make(f"deck-{deck}.csv", "deck", 200_000, deck + 1)
    calls = f"calls-{args.calls}"
    make(f"{calls}.csv", "calls", args.calls, 50)
    if not os.path.exists(at(f"{calls}.parquet")):
        columns = "call_id,account,\"from\",\"to\",setup,answer,\"end\""
        types = "{'call_id':'varchar','account':'varchar','from':'varchar','to':'varchar','setup':'timestamptz','answer':'timestamptz','end':'timestamptz'}"
        subprocess.run(duckdb(f"copy (select {columns} from read_csv('{at(calls)}.csv', types={types})) to '{at(calls)}.parquet' (format parquet)"), check=True)
    one = ["--deck", at("deck-0.csv")]
    fifty = [arg for deck in range(50) for arg in ("--deck", f"account-{deck}={at(f'deck-{deck}.csv')}")]
    rate = lambda decks, form: [args.tollgate, "rate", *decks, "--calls", at(f"{calls}.{form}"), "--out", at(f"out.{form}")]
    names = {"calls": at(f"{calls}.parquet"), "out": at("duck.parquet"), "deck": at("deck-0.csv")}
    cases = [
        ("DuckDB copies Parquet", duckdb(COPY.format(**names))),
        ("DuckDB rates Parquet, 1 deck, in SQL", duckdb(RATE.format(**names))),
        ("tollgate rate, Parquet, 1 deck", rate(one, "parquet")),
        ("tollgate rate, Parquet, 50 decks", rate(fifty, "parquet")),
        ("tollgate rate, CSV, 1 deck", rate(one, "csv")),
        ("tollgate rate, CSV, 50 decks", rate(fifty, "csv")),
    ]
    print(f"{args.calls:,} calls; best CPU of {args.rounds} rounds, start and reading of decks included")
    print(f"{'case':40} {'wall s':>8} {'CPU s':>8} {'us/call':>8} {'calls/s':>12} {'calls/s/core':>13} {'peak MB':>8}")
    # Rounds of all, not all rounds of one: what else the machine does then falls on all of them.
    best = {}
    for _ in range(args.rounds):
        for name, command in cases:
            measured = run(command)
            best[name] = min(best.get(name, measured), measured, key=lambda m: m[1])
    for name, _ in cases:
        wall, cpu, peak = best[name]
        print(f"{name:40} {wall:8.2f} {cpu:8.2f} {cpu / args.calls * 1e6:8.3f} {args.calls / wall:12,.0f} {args.calls / cpu:13,.0f} {peak:8.0f}")
    ratio = best[cases[2][0]][1] / best[cases[0][0]][1]
    print(f"tollgate rate, Parquet, is {ratio:.2f} times the CPU of DuckDB's copy (goal: at most 1.5)")


if __name__ == "__main__":
    main()
