"""Scrape configuration and alerts: by promtool, with the alerts' own tests; and whether the runbook knows each alert."""
import re
import subprocess

from . import docs, files, parts

# The list of what matters: each has an alert.
WATCHED = [
    "tollgate_stage_rater_lag_events", "tollgate_stage_fraud_lag_events", "tollgate_stage_projector_lag_events",
    "tollgate_forward_backlog_events", "tollgate_forward_oldest_seconds", "tollgate_mirror_lag_events", "tollgate_unrated_calls_total",
    "tollgate_refused_calls_total", "tollgate_ledger_difference_e8", "tollgate_log_health", "clickhouse_away",
    "tollgate_node_lost_calls_total", "tollgate_quarantined_events_total",
]


def rules(root):
    """(alert, expression, the whole rule) of every rule."""
    found, _ = files.documents(root / "deploy/prometheus/rules.yml")
    return [(r["alert"], r["expr"], r) for g in (found[0]["groups"] if found else []) for r in g["rules"]]


def check(root, _):
    folder = root / "deploy/prometheus"
    bad = promtool("check", "config", folder / "prometheus.yml") + promtool("test", "rules", folder / "rules.test.yml")
    known = rules(root)
    bad += [f"{folder}/rules.yml: no alert watches {m}" for m in WATCHED if not any(m in expr for _, expr, _ in known)]
    page = root / "docs/operations.md"
    anchors = docs.anchors(page)
    for alert, _, rule in known:
        where = f"{folder}/rules.yml: {alert}"
        if rule.get("labels", {}).get("severity") not in ("page", "ticket"):
            bad.append(f"{where}: severity is neither page nor ticket")
        if not rule.get("annotations", {}).get("summary"):
            bad.append(f"{where}: no summary")
        # Alerts that differ only in how bad it is share a section: it names them all.
        anchor = rule.get("annotations", {}).get("runbook", "").partition("#")[2]
        if anchor not in anchors:
            bad.append(f"{where}: {page.name} has no section #{anchor}")
        if alert not in page.read_text():
            bad.append(f"{where}: {page.name} does not name it")
    tested = (folder / "rules.test.yml").read_text()
    pages = [a for a, _, r in known if r["labels"].get("severity") == "page"]
    # Paging somebody is tested or it is a threshold on one gauge, plain to see.
    for alert in pages:
        expr = next(e for a, e, _ in known if a == alert)
        if alert not in tested and len(re.findall(r"\b(?:tollgate|log|clickhouse)_\w+", expr)) > 1:
            bad.append(f"{folder}/rules.test.yml: no test of {alert}")
    return bad, []


def promtool(*words):
    tool = parts.tool("promtool")
    if not tool:
        return ["promtool is missing: run tests/run --parts, or apt-get install -y --no-install-recommends prometheus"]
    done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True)
    if done.returncode == 0:
        return []
    said = [l.strip() for l in (done.stdout + done.stderr).splitlines() if l.strip() and "SUCCESS" not in l]
    return [f"{words[-1]}: promtool {' '.join(words[:2])}: {' '.join(said)}"]
