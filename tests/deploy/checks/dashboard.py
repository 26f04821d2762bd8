"""The dashboard: a form Grafana takes, panels that do not lie on each other, and queries that are PromQL."""
import pathlib
import re
import tempfile

import yaml

from . import files
from .prometheus import promtool

KINDS = {"row", "stat", "timeseries"}


def panels(root):
    dashboard, _ = files.json_of(root / "deploy/grafana/dashboards/tollgate.json")
    return (dashboard or {}).get("panels", [])


def queries(root):
    """Every query with its variables put in."""
    text = [t.get("expr", "") for p in panels(root) for t in p.get("targets", [])]
    return [t.replace("$__rate_interval", "1m").replace("$instance", ".*") for t in text]


def check(root, _):
    path = root / "deploy/grafana/dashboards/tollgate.json"
    dashboard, bad = files.json_of(path)
    if bad:
        return bad, []
    tell = lambda text: bad.append(f"{path}: {text}")
    for key, kind in [("title", str), ("uid", str), ("schemaVersion", int), ("panels", list), ("templating", dict), ("time", dict)]:
        if not isinstance(dashboard.get(key), kind):
            tell(f"'{key}' is missing or no {kind.__name__}")
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    ids, cells = set(), {}
    for p in dashboard["panels"]:
        name = p.get("title", "?")
        if p.get("type") not in KINDS:
            tell(f"panel '{name}': type {p.get('type')}")
        if p.get("id") in ids:
            tell(f"panel '{name}': id {p['id']} is another's")
        ids.add(p.get("id"))
        at = p.get("gridPos", {})
        if not all(isinstance(at.get(k), int) for k in "xywh") or at["x"] + at["w"] > 24 or at["w"] < 1 or at["h"] < 1:
            tell(f"panel '{name}': gridPos {at} is not inside 24 columns")
            continue
        for cell in {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}:
            if cell in cells:
                tell(f"panel '{name}' lies on '{cells[cell]}'")
                break
            cells[cell] = name
        if p["type"] == "row":
            continue
        if not p.get("targets"):
            tell(f"panel '{name}' asks nothing")
        if not p.get("fieldConfig", {}).get("defaults", {}).get("unit"):
            tell(f"panel '{name}' has no unit")
        refs = [t.get("refId") for t in p.get("targets", [])]
        if len(set(refs)) != len(refs):
            tell(f"panel '{name}': refIds {refs}")
        for t in p.get("targets", []):
            if t.get("datasource", {}).get("uid") != "${datasource}":
                tell(f"panel '{name}': a target does not use the dashboard's data source")
            for variable in re.findall(r"\$(?!__)\{?(\w+)", t.get("expr", "")):
                if variable not in variables:
                    tell(f"panel '{name}': there is no variable ${variable}")
    return bad + syntax(root, path), []


def syntax(root, path):
    """PromQL has no checker of its own; as recording rules the queries are read by promtool."""
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(queries(root))]
    with tempfile.TemporaryDirectory() as temporary:
        file = pathlib.Path(temporary, "queries.yml")
        file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        return [b.replace(str(file), str(path)) for b in promtool("check", "rules", file)]
