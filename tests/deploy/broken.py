"""Proves that the checks can fail: breaks one thing at a time in a copy, and expects to be told about just that."""
import pathlib
import shutil
import tempfile

from checks import compose, configs, dashboard, docs, metrics, prometheus, servers, units

# (who must notice, file, what stands there, what it is broken to, a part of the complaint)
BROKEN = [
    (compose, "deploy/compose.yaml", "  read_only: true\n", "  read_only: true\n  read_only: false\n", "stands twice"),
    (compose, "deploy/compose.yaml", "--stages, fraud]", "--stages, frauds]", "is not `run -c FILE --stages STAGE`"),
    (compose, "deploy/compose.yaml", "stop_grace_period: 60s", "stop_grace_period: 20s", "killed while draining"),
    (compose, "deploy/compose.yaml", "ipv4_address: 172.30.30.12", "ipv4_address: 172.30.30.11", "is also that of"),
    (compose, "deploy/compose.yaml", "  prometheus:\n  grafana:\n", "  grafana:\n", "'prometheus' is used and not declared"),
    (compose, "deploy/compose.yaml", "image: apache/kafka:4.1.0", "image: apache/kafka", "has no tag"),
    (compose, "deploy/compose.yaml", "./compose/buy.csv:", "./compose/bought.csv:", "mounts ./compose/bought.csv"),
    (compose, "deploy/compose/proxy-2.toml", "kafka:9092", "kafka:9093", "no service advertises"),
    (compose, "deploy/compose/proxy-2.toml", "172.30.30.12:5060", "172.30.30.13:5060", "not the container's address"),
    (compose, "deploy/Dockerfile", "FROM rust:1.95", "FROM rust:1.80", "older than rust-version"),
    (units, "deploy/systemd/tollgate@.service", "TimeoutStopSec=90", "TimeoutStopSec=30", "not longer than the longest drain_s"),
    (units, "deploy/systemd/tollgate.service", "PrivateDevices=yes", "PrivateDevices=no", "PrivateDevices=yes is missing"),
    (units, "deploy/systemd/tollgate.service", "Restart=on-failure", "Restrat=on-failure", "Restrat"),
    (configs, "deploy/examples/rating.toml", "partitions = 16", "partitions = 32", "partitions differs"),
    (configs, "deploy/examples/ingest.toml", '"*=550"', '"*=30"', "retention differs"),
    (configs, "deploy/examples/proxy.toml", "sasl_password_file = ", "sasl_password = ", "a secret stands in it"),
    (configs, "deploy/examples/api.toml", "[store]", "[store", "api.toml"),
    (prometheus, "deploy/prometheus/prometheus.yml", "scrape_interval: 5s", "scrape_interval: 5", "promtool check config"),
    (prometheus, "deploy/prometheus/rules.yml", "tollgate_forward_oldest_seconds > 30\n", "tollgate_forward_oldest_seconds > 60\n", "promtool test rules"),
    (prometheus, "deploy/prometheus/rules.yml", "tollgate_ledger_difference_e8 != 0", "tollgate_ledger_difference_e8 > 0", "promtool test rules"),
    (prometheus, "deploy/prometheus/rules.yml", "#tollgatequarantine", "#quarantine", "no section #quarantine"),
    (prometheus, "deploy/prometheus/rules.yml", "increase(tollgate_unrated_calls_total[15m])", "increase(up[15m])", "no alert watches tollgate_unrated"),
    (dashboard, "deploy/grafana/dashboards/tollgate.json", '"expr": "tollgate_forward_backlog_events{', '"expr": "tollgate_forward_backlog_events{{', "promtool check rules"),
    (dashboard, "deploy/grafana/dashboards/tollgate.json", '"x": 4,', '"x": 3,', "lies on"),
    (dashboard, "deploy/grafana/dashboards/tollgate.json", '=~\\"$instance\\"', '=~\\"$node\\"', "no variable $node"),
    (metrics, "deploy/grafana/dashboards/tollgate.json", "tollgate_sip_calls_up", "tollgate_sip_call_up", "no metric tollgate_sip_call_up"),
    (metrics, "deploy/grafana/dashboards/tollgate.json", "tollgate_stage_rater_lag", "tollgate_stage_rate_r_lag", "no metric tollgate_stage_rate_r_lag_events"),
    (metrics, "deploy/prometheus/rules.yml", "log_disk_free_bytes", "log_free_bytes", "no metric log_free_bytes"),
    (metrics, "deploy/prometheus/rules.yml", '"blocked"', '"blockd"', "no refusal 'blockd'"),
    (servers, "deploy/kafka/server.properties", "auto.create.topics.enable", "auto.create.topic.enable", "Kafka knows no setting auto.create.topic.enable"),
    (servers, "deploy/compose.yaml", "KAFKA_MIN_INSYNC_REPLICAS", "KAFKA_MIN_INSYNC_REPLICA", "Kafka knows no setting min.insync.replica "),
    (servers, "deploy/clickhouse/config.xml", "fsync_after_insert", "fsync_on_insert", "no setting of MergeTree fsync_on_insert"),
    (servers, "deploy/clickhouse/users.xml", "<async_insert>", "<async_inserts>", "users.xml"),
    (docs, "docs/operations.md", "sizing.md#spool", "sizing.md#spools", "no section #spools"),
    (docs, "docs/kafka-clickhouse.md", 'kind = "kafka"', "kind = kafka", "its TOML"),
]


def prove(root):
    """Exit code: 0 when every break was noticed."""
    missed = 0
    whole = {check: check.check(root, root)[0] for check in {check for check, *_ in BROKEN}}
    for check, file, old, new, expected in BROKEN:
        with tempfile.TemporaryDirectory() as temporary:
            copy = pathlib.Path(temporary)
            for part in ("deploy", "docs"):
                shutil.copytree(root / part, copy / part)
            shutil.copy(root / "Cargo.toml", copy)
            # COPY's sources and links into the repository are looked up in the copy.
            for part in root.iterdir():
                if not (copy / part.name).exists():
                    (copy / part.name).symlink_to(part)
            path = copy / file
            text = path.read_text()
            told = [] if old not in text else None
            path.write_text(text.replace(old, new))
            if told is None:
                told, _ = check.check(copy, root)
            if not any(expected in t for t in told) or any(expected in t for t in whole[check]):
                missed += 1
                print(f"not noticed: {file}: {old.strip()!r} → {new.strip()!r}: {told}")
    print(f"deploy: {len(BROKEN) - missed} of {len(BROKEN)} breaks noticed")
    return 1 if missed else 0
