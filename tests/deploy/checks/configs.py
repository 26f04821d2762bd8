"""The configuration examples: TOML, alike where a cluster needs it, and taken by the binary where there is one."""
import pathlib
import re
import subprocess
import tempfile
import tomllib

from . import docs

# Files that an example names and only its machine has.
NAMED = re.compile(r'^(?:ca|cert|key|sasl_password_file|password_file) = "([^"]+)"', re.M)
SECRET = re.compile(r'^(?:password|sasl_password|secret|token) *=', re.M)


def examples(root):
    return sorted([*(root / "deploy/examples").glob("*.toml"), *(root / "deploy/compose").glob("*.toml")])


def shown(root, place):
    """The TOML that pages show, as files of their own: somebody copies it."""
    for page in docs.pages(root):
        for n, text in enumerate(docs.blocks(page)):
            file = place / f"{page.stem}-{n}.toml"
            file.write_text(text)
            yield file


def stages(path):
    """The stages a file is for: none means all."""
    name = re.sub(r"-\d+$", "", path.stem)
    return {"tollgate": [None], "stages": ["rating", "fraud", "ingest"], "kafka-clickhouse": ["rating"]}.get(name, [name])


def check(root, _):
    bad, alike = [], {}
    for path in examples(root):
        text = path.read_text()
        try:
            config = tomllib.loads(text)
        except tomllib.TOMLDecodeError as e:
            bad.append(f"{path}: {e}")
            continue
        if SECRET.search(text):
            bad.append(f"{path}: a secret stands in it: name a file")
        log = config.get("log", {})
        if log.get("kind") == "kafka":
            # An account's calls stay in one partition, so every process must count alike.
            alike.setdefault((path.parent, "partitions"), {})[path.name] = log.get("partitions")
            alike.setdefault((path.parent, "topic_prefix"), {})[path.name] = log.get("topic_prefix")
            alike.setdefault((path.parent, "replication"), {})[path.name] = log.get("replication")
        if (store := config.get("store", {})).get("kind") == "clickhouse":
            # The last one to start would change the table's TTL for all.
            alike.setdefault((path.parent, "retention"), {})[path.name] = str(store.get("retention"))
            if "proxy" in stages(path) and "spool_mb" not in log:
                bad.append(f"{path}: a proxy without spool_mb")
            if path.parent.name == "examples" and log.get("security") in (None, "plaintext"):
                bad.append(f"{path}: an example for production without TLS")
        needs_store = {"ingest", "api"} & set(stages(path))
        if needs_store and log.get("kind") == "kafka" and config.get("store", {}).get("kind") != "clickhouse":
            bad.append(f"{path}: {needs_store} without a store that processes share")
    for (folder, key), values in alike.items():
        if len(set(values.values())) > 1:
            bad.append(f"{folder}: {key} differs: {values}")
    return bad, []


def by_binary(root, binary):
    """`check-config` of every example for every stage it is for, with the files it names made for the occasion."""
    bad = []
    with tempfile.TemporaryDirectory() as temporary:
        bad += checked(shown(root, pathlib.Path(temporary)), binary)
    for command, page in docs.commands(root).items():
        if subprocess.run([str(binary), *command.split(), "--help"], capture_output=True).returncode != 0:
            bad.append(f"{page}: there is no command `tollgate {command}`")
    return bad + checked(examples(root), binary)


def checked(paths, binary):
    bad = []
    for path in paths:
        with tempfile.TemporaryDirectory() as temporary:
            place = pathlib.Path(temporary)
            for other in path.parent.iterdir():
                (place / other.name).write_bytes(other.read_bytes())
            text = path.read_text()
            for named in NAMED.findall(text):
                made = place / pathlib.Path(named).name
                made.write_text("made for a check of the configuration\n")
                text = text.replace(f'"{named}"', f'"{made}"')
            copy = place / path.name
            copy.write_text(text)
            for stage in stages(path):
                command = [str(binary), "check-config", "-c", str(copy), *(["--stages", stage] if stage else [])]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    words = (done.stdout + done.stderr).strip().replace(temporary, str(path.parent))
                    bad.append(f"{path}: check-config for {stage or 'all stages'}: {words}")
    return bad
