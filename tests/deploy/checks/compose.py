"""The compose file: what Compose itself would refuse, and what it would start and which would then not work."""
import ipaddress
import re
import tomllib

from . import files

STAGES = {"proxy", "rating", "fraud", "ingest", "api"}
KEYS = {
    "image", "build", "command", "restart", "environment", "volumes", "networks", "healthcheck", "depends_on", "ports", "profiles",
    "secrets", "ulimits", "read_only", "tmpfs", "cap_drop", "security_opt", "stop_grace_period",
}
CONDITIONS = {"service_healthy", "service_started", "service_completed_successfully"}


def seconds(text):
    """A duration as Compose writes it."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(text))
    return sum(int(n or 0) * unit for n, unit in zip(parts.groups(), (3600, 60, 1))) if parts and str(text) else None


def check(root, _):
    deploy = root / "deploy"
    bad = []
    for path in sorted(p for p in deploy.rglob("*") if p.suffix in (".yml", ".yaml")):
        bad += files.documents(path)[1]
    path = deploy / "compose.yaml"
    docs, problems = files.documents(path)
    if problems:
        return bad, []
    tell = lambda text: bad.append(f"{path}: {text}")
    top = docs[0]
    services = top.get("services") or {}
    named = {k: set(top.get(k) or {}) for k in ("volumes", "networks", "secrets")}
    used = {k: set() for k in named}
    subnet = ipaddress.ip_network(top["networks"]["tollgate"]["ipam"]["config"][0]["subnet"])
    addresses, started = {}, []

    for key in set(top) - {"name", "services", "volumes", "networks", "secrets"}:
        if not key.startswith("x-"):
            tell(f"'{key}' is nothing Compose knows")
    for name, s in services.items():
        say = lambda text, name=name: tell(f"service {name}: {text}")
        for key in set(s) - KEYS:
            say(f"'{key}' is not known here")
        build = s.get("build")
        if build:
            context = (deploy / (build if isinstance(build, str) else build["context"])).resolve()
            file = context / ("Dockerfile" if isinstance(build, str) else build["dockerfile"])
            bad.extend(dockerfile(file, context, root))
        elif not re.fullmatch(r"[\w./-]+:(\$\{\w+:-)?[\w.-]+\}?", s.get("image", "")):
            say("its image has no tag: what starts would change by itself")
        health = s.get("healthcheck") or {}
        if not health.get("test") or health["test"][0] not in ("CMD", "CMD-SHELL"):
            say("nobody would see that it is not well: it has no healthcheck")
        for key in ("interval", "timeout"):
            if seconds(health.get(key, "")) in (None, 0):
                say(f"healthcheck.{key} is no duration")
        if s.get("restart") != "unless-stopped":
            say("does not come back after a crash: restart")
        mounts = volumes(s, deploy, used["volumes"], say)
        networks = s.get("networks") or {}
        used["networks"] |= set(networks)
        if isinstance(networks, dict) and (address := (networks.get("tollgate") or {}).get("ipv4_address")):
            if ipaddress.ip_address(address) not in subnet:
                say(f"{address} is not in {subnet}")
            if address in addresses:
                say(f"{address} is also that of {addresses[address]}")
            addresses[address] = name
        used["secrets"] |= set(s.get("secrets") or [])
        depends = s.get("depends_on") or {}
        for other in depends:
            condition = depends[other].get("condition") if isinstance(depends, dict) else "service_started"
            if other not in services:
                say(f"depends on {other}, which is not there")
            elif condition not in CONDITIONS:
                say(f"depends on {other} with no condition")
        if str(s.get("image", "")).startswith("tollgate:"):
            started.append(stage(name, s, mounts, services, say))
    for kind, names in named.items():
        for name in used[kind] - names:
            tell(f"{kind}: '{name}' is used and not declared")
        for name in names - used[kind]:
            tell(f"{kind}: '{name}' is declared and not used")
    for missing in STAGES - set(started):
        tell(f"nothing runs the stage {missing}")
    if started.count("proxy") < 2:
        tell("one proxy proves nothing about two")
    return bad, []


def volumes(s, deploy, used, say):
    """Files mounted into a container: path inside → path here."""
    mounts = {}
    for volume in s.get("volumes") or []:
        source, _, inside = volume.partition(":")
        if not inside:
            continue  # one without a name, for this container alone
        if source.startswith("."):
            mounts[inside.removesuffix(":ro")] = deploy / source
            if not (deploy / source).exists():
                say(f"mounts {source}, which is not there")
        else:
            used.add(source)
    return mounts


def stage(name, s, mounts, services, say):
    """Checks a process of Tollgate against the configuration it is given; which stage it runs."""
    command = s.get("command") or []
    if len(command) != 5 or command[0] != "run" or command[1] != "-c" or command[3] != "--stages" or command[4] not in STAGES:
        say(f"command {command} is not `run -c FILE --stages STAGE`")
        return None
    if command[2] not in mounts:
        say(f"{command[2]} is not mounted")
        return command[4]
    config = tomllib.loads(mounts[command[2]].read_text())
    if seconds(s.get("stop_grace_period", "")) is None or seconds(s["stop_grace_period"]) <= config.get("drain_s", 10):
        say("stop_grace_period is not longer than drain_s: it would be killed while draining")
    host, _, port = config["log"]["brokers"].partition(":")
    listeners = (services.get(host) or {}).get("environment", {}).get("KAFKA_ADVERTISED_LISTENERS", "")
    if f"{host}:{port}" not in listeners:
        say(f"its brokers are {host}:{port}, and no service advertises that")
    if command[4] == "proxy":
        address = config["sip"]["listen"].rpartition(":")[0]
        if s["networks"]["tollgate"]["ipv4_address"] != address:
            say(f"its configuration listens on {address}, which is not the container's address")
        if "kafka" in (s.get("depends_on") or {}):
            say("waits for Kafka: a proxy starts without")
    if secret := config.get("store", {}).get("password_file"):
        if secret.rpartition("/")[2] not in (s.get("secrets") or []):
            say(f"{secret} is none of its secrets")
    test = " ".join(s["healthcheck"]["test"])
    if config["api"]["listen"].rpartition(":")[2] not in test:
        say("its healthcheck asks another port than [api] listens on")
    return command[4]


def dockerfile(path, context, root):
    """A Dockerfile whose sources exist, and which builds with a compiler that is new enough."""
    if not path.exists():
        return [f"{path}: there is no such Dockerfile"]
    bad, text = [], path.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            bad += [f"{path}: COPY {w}: not in the build's context" for w in words[1:-1] if not (context / w).exists()]
        if words[:1] == ["FROM"] and (":" not in words[1] or words[1].endswith(":latest")):
            bad.append(f"{path}: FROM {words[1]}: give a tag")
    if "ENTRYPOINT [" not in text:
        bad.append(f"{path}: no ENTRYPOINT in its exec form: signals would reach a shell")
    if rust := re.search(r"FROM rust:(\d+)\.(\d+)", text):
        want = re.search(r'rust-version = "(\d+)\.(\d+)', (root / "Cargo.toml").read_text())
        if want and tuple(map(int, rust.groups())) < tuple(map(int, want.groups())):
            bad.append(f"{path}: rust {'.'.join(rust.groups())} is older than rust-version")
    return bad
