"""Settings of brokers and ClickHouse servers: whether those systems know them, asked of the parts the tests start."""
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

from . import files, parts

# Sections of ClickHouse's configuration that have no table of their own to look them up in.
SECTIONS = {
    "listen_host", "custom_settings_prefixes", "prometheus", "query_log", "trace_log", "text_log", "metric_log",
    "asynchronous_metric_log", "processors_profile_log",
}
# Read by Kafka's authorizer, not by the broker.
AUTHORIZER = {"super.users", "allow.everyone.if.no.acl.found"}


def check(root, _):
    bad, skipped = [], []
    kafka(root, bad, skipped)
    clickhouse(root, bad, skipped)
    return bad, skipped


def kafka(root, bad, skipped):
    if not shutil.which("java") or not parts.jars():
        skipped.append("no Kafka jars on this machine (tests/run --parts): names of broker settings were not looked up")
        return
    done = subprocess.run(["java", "-cp", f"{parts.jars()}/*", "kafka.server.KafkaConfig"], capture_output=True, text=True)
    known = set(re.findall(r'id="brokerconfigs_([\w.]+)"', done.stdout))
    if len(known) < 100:
        bad.append(f"Kafka does not tell its settings: {done.stderr.strip()[:200]}")
        return
    path = root / "deploy/kafka/server.properties"
    lines = [l for l in path.read_text().splitlines() if l.strip() and not l.startswith("#")]
    keys = [l.partition("=")[0] for l in lines]
    bad += [f"{path}: {k} stands twice" for k in sorted({k for k in keys if keys.count(k) > 1})]
    bad += [f"{path}: Kafka knows no setting {k}" for k in keys if re.sub(r"^listener\.name\.\w+\.((plain|scram-sha-\d+)\.)?", "", k) not in known | AUTHORIZER]
    docs, problems = files.documents(root / "deploy/compose.yaml")
    for name in [] if problems else docs[0]["services"].get("kafka", {}).get("environment", {}):
        key = name.removeprefix("KAFKA_").replace("_", ".").lower()
        if name.startswith("KAFKA_") and key not in known | {"heap.opts"}:
            bad.append(f"deploy/compose.yaml: Kafka knows no setting {key} ({name})")


def clickhouse(root, bad, skipped):
    found = {}
    for name in ("config.xml", "users.xml"):
        path = root / "deploy/clickhouse" / name
        try:
            found[name] = (path, xml.parse(path).getroot())
        except (xml.ParseError, OSError) as e:
            bad.append(f"{path}: {e}")
    if not importlib.util.find_spec("chdb"):
        skipped.append("no ClickHouse engine on this machine (tests/run --parts): names of its settings were not looked up")
        return
    # In a process of its own: the engine does not let go of its memory.
    ask = (
        "import chdb\nfor t in ('settings', 'merge_tree_settings', 'server_settings'):\n"
        "    print(t, *str(chdb.query(f'select name from system.{t}', 'TSV')).split())"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)})
    tables = {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines() if line}
    if len(tables.get("settings", ())) < 100:
        bad.append(f"the ClickHouse engine does not tell its settings: {done.stderr.strip()[:200]}")
        return
    wrong = lambda path, e, what: bad.append(f"{path}: ClickHouse knows no {what} {e.tag}")
    if "config.xml" in found:
        path, top = found["config.xml"]
        for e in top:
            if e.tag == "merge_tree":
                [wrong(path, one, "setting of MergeTree") for one in e if one.tag not in tables["merge_tree_settings"]]
            elif e.tag not in tables["server_settings"] | SECTIONS:
                wrong(path, e, "server setting")
    if "users.xml" in found:
        path, top = found["users.xml"]
        [wrong(path, e, "setting") for e in top.iter() if not len(e) and e.tag not in tables["settings"]]
