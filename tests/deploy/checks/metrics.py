"""Whether the program has every metric and every reason that alerts and dashboard name: a misspelt one is silent for ever."""
import re

from .dashboard import queries
from .prometheus import rules

LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
PREFIX = re.compile(r'sub_registry_with_prefix\("(\w+)"\)')


class Source:
    """The string literals and words of the program's own Rust files."""

    def __init__(self, root):
        self.literals, self.words, self.prefixed = set(), set(), set()
        folders = ["src", "schemas", "proxy", "rating", "fraud", "ingest", "api"]
        for path in (p for f in folders for p in (root / f).rglob("*.rs") if not {"tests", "target"} & set(p.relative_to(root).parts)):
            text = path.read_text()
            here = set(LITERAL.findall(text))
            self.literals |= here
            self.words |= set(re.findall(r"\b[a-z][a-z0-9_]*\b", text))
            self.prefixed |= {f"{prefix}_{name}" for prefix in PREFIX.findall(text) for name in here}
        # "tollgate_sip_{name}": what stands in the braces is one of the program's own words.
        made = [t for t in self.literals if t.startswith("tollgate_") and "{" in t]
        self.templates = [re.compile("([a-z0-9_]+)".join(map(re.escape, re.split(r"\{[^}]*\}", t)))) for t in made]

    def has(self, name):
        """Counters are registered without their `_total`, histograms without their parts."""
        return any(self.knows(re.sub(end, "", name)) for end in ("$", "_total$", "_(bucket|sum|count)$"))

    def knows(self, name):
        if name in self.literals or name in self.prefixed:
            return True
        return any((m := t.fullmatch(name)) and all(w in self.words for w in m.groups()) for t in self.templates)


def named(expr):
    """The metrics a query names; what is in quotes are labels' values."""
    return set(re.findall(r"\b(?:tollgate|log|clickhouse)_[a-z0-9_]+\b", re.sub(r'"[^"]*"', '""', expr)))


def check(root, source):
    program = Source(source)
    users = [(f"deploy/prometheus/rules.yml: {alert}", expr) for alert, expr, _ in rules(root)]
    users += [("deploy/grafana/dashboards/tollgate.json", q) for q in queries(root)]
    bad, missing = [], {}
    for where, expr in users:
        for metric in (m for m in named(expr) if not program.has(m)):
            missing.setdefault(metric, set()).add(where.rpartition("/")[2])
        for reasons in re.findall(r'reason=~?"([^"]*)"', expr):
            bad += [f"{where}: there is no refusal '{r}'" for r in reasons.split("|") if r not in program.literals]
    bad += [f"deploy: the program has no metric {m}, used by {', '.join(sorted(users))}" for m, users in sorted(missing.items())]
    return sorted(set(bad)), []
