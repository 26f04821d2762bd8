"""The systemd units: read by systemd itself where it is, and compared with the configuration they start with."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib

from .compose import STAGES, seconds

# What a unit of a process that strangers send datagrams to must have.
HARDENING = ["NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateDevices=yes", "MemoryDenyWriteExecute=yes", "CapabilityBoundingSet="]


def check(root, _):
    folder, examples = root / "deploy/systemd", root / "deploy/examples"
    bad, skipped = [], []
    units = sorted(folder.glob("*.service"))
    drains = {}
    for path in sorted(examples.glob("*.toml")):
        try:
            drains[path.stem] = tomllib.loads(path.read_text()).get("drain_s", 10)
        except tomllib.TOMLDecodeError:
            pass  # told with the configurations
    for unit in units:
        lines = unit.read_text().splitlines()
        bad += [f"{unit}: {want} is missing" for want in HARDENING if want not in lines]
        value = lambda key: next((l.partition("=")[2] for l in lines if l.startswith(key + "=")), None)
        stop, files = seconds(f"{value('TimeoutStopSec')}s"), int(value("LimitNOFILE") or 0)
        if stop is None or stop <= max(drains.values(), default=0):
            bad.append(f"{unit}: TimeoutStopSec={value('TimeoutStopSec')} is not longer than the longest drain_s of the examples")
        if files < 65536:
            bad.append(f"{unit}: LimitNOFILE={files} is fewer files than a busy node has open")
        config = re.search(r"-c /etc/tollgate/(\S+)\.toml", value("ExecStart") or "")
        for stage in sorted(STAGES) if config and config[1] == "%i" else [config[1] if config else "?"]:
            if stage not in drains:
                bad.append(f"{unit}: starts with {stage}.toml, and deploy/examples has none")
    return bad + analyze(units, skipped), skipped


def analyze(units, skipped):
    tool = shutil.which("systemd-analyze")
    if not tool:
        skipped.append("systemd-analyze is not on this machine: the units were not read by systemd")
        return []
    bad = []
    with tempfile.TemporaryDirectory() as temporary:
        for unit in units:
            # The binary is not installed where this runs; a template is read as one of its instances.
            copy = pathlib.Path(temporary, unit.name.replace("@.", "@proxy."))
            copy.write_text(unit.read_text().replace("/usr/bin/tollgate", "/bin/true"))
            done = subprocess.run([tool, "verify", "--man=no", str(copy)], capture_output=True, text=True)
            said = [l for l in (done.stdout + done.stderr).splitlines() if copy.name in l or str(copy) in l]
            bad += [f"{unit}: {l}" for l in said]
    return bad
