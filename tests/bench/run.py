#!/usr/bin/env python3
"""CPU per call of Tollgate beside Kamailio doing the same job, in one run, a fresh process for each rate.

run.py [--rates 300,1000,2000] [--seconds 10] [--binary target/release/tollgate] [--no-peer]

Prints for each rate the whole process's and the SIP threads' CPU in microseconds per call, what each thread of Tollgate
took, and the ratio to the peer. Callers and carriers are SIPp on the same cores, so differences under 10 % mean nothing."""
import argparse, os, re, shutil, signal, subprocess, sys, tempfile, time, urllib.request

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
p = argparse.ArgumentParser()
p.add_argument("--rates", default="300,1000,2000")
p.add_argument("--seconds", type=int, default=10)
p.add_argument("--binary", default=os.path.join(root, "target/release/tollgate"))
p.add_argument("--no-peer", action="store_true")
a = p.parse_args()
for tool, package in (("sipp", "sip-tester"), ("kamailio", "kamailio kamailio-extra-modules kamailio-utils-modules")):
    if not shutil.which(tool) and not (tool == "kamailio" and a.no_peer):
        sys.exit(f"{tool} is missing: apt-get install -y --no-install-recommends {package}")
tick = os.sysconf("SC_CLK_TCK")


def threads(pid):
    """CPU seconds of each thread, by name without its number."""
    out = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            text = open(f"/proc/{pid}/task/{task}/stat").read()
        except FileNotFoundError:
            continue
        name = re.sub(r"[-#:]?\d+$", "", text[text.index("(") + 1 : text.rindex(")")])
        fields = text[text.rindex(")") + 2 :].split()
        out[name] = out.get(name, 0) + (int(fields[11]) + int(fields[12])) / tick
    return out


def inside():
    """Nanoseconds of the SIP threads by what they did, from /metrics: wall time, so it holds what others took too."""
    text = urllib.request.urlopen("http://127.0.0.1:8080/metrics", timeout=5).read().decode()
    return {part: int(found[1]) for part in ("sockets", "core", "events")
            if (found := re.search(rf"^tollgate_sip_{part}_ns_total (\d+)", text, re.M))}


def load(pid, rate):
    calls = rate * a.seconds
    out = subprocess.run([sys.executable, f"{here}/load.py", "--pids", str(pid), "--rate", str(rate), "--calls", str(calls)],
                         capture_output=True, text=True, timeout=400).stdout.strip()
    found = re.search(r"calls (\d+) failed (\d+) retrans (\d+).*= ([\d.]+) us/call\s+pss (\d+)->(\d+)", out)
    if not found:
        sys.exit(f"the load gave no figures: {out}")
    return int(found[1]), int(found[2]), int(found[3]), float(found[4]), int(found[6])


def peer(rate):
    folder = tempfile.mkdtemp(prefix="peer.")
    subprocess.run([f"{here}/kamailio/prepare.py", folder], check=True)
    process = subprocess.Popen(["kamailio", "-f", f"{folder}/kamailio.cfg", "-m", "2048", "-M", "64", "-x", "tlsf", "-X", "tlsf", "-DD", "-E"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(4)
        return load(process.pid, rate)
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def ours(rate):
    data = tempfile.mkdtemp(prefix="tollgate-bench.")
    env = dict(os.environ, TOLLGATE_ADMIN_KEY="bench-admin-key-0123456789")
    process = subprocess.Popen([a.binary, "run", "-c", f"{root}/examples/bench/tollgate.toml", "--data", data],
                               env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen("http://127.0.0.1:8080/readyz", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit("tollgate is not ready")
        time.sleep(1)
        before, parts_before = threads(process.pid), inside()
        result = load(process.pid, rate)
        # CDRs of the last calls are still on their way: their work counts too.
        time.sleep(2)
        after, parts_after = threads(process.pid), inside()
        used = {name: after[name] - before.get(name, 0) for name in after}
        parts = {name: (parts_after[name] - parts_before.get(name, 0)) / 1000 for name in parts_after}
        return result, used, parts
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(data, ignore_errors=True)


for rate in map(int, a.rates.split(",")):
    (ok, failed, retrans, _, pss), used, inner = ours(rate)
    per = {name: 1e6 * seconds / max(ok, 1) for name, seconds in used.items()}
    whole = sum(per.values())
    sip = per.get("sip", 0)
    line = f"{rate:>5} cps  tollgate {whole:6.1f} us/call whole, {sip:6.1f} SIP threads; calls {ok} failed {failed} retrans {retrans}, {pss} MiB"
    if not a.no_peer:
        k_ok, k_failed, k_retrans, k_us, k_pss = peer(rate)
        line += f" | kamailio {k_us:6.1f} us/call, failed {k_failed} retrans {k_retrans}, {k_pss} MiB | ratio {whole / k_us:.2f}"
    print(line, flush=True)
    parts = sorted(per.items(), key=lambda kv: -kv[1])
    print("           " + ", ".join(f"{name} {us:.1f}" for name, us in parts if us >= 0.5), flush=True)
    print("           SIP threads' wall time: " + ", ".join(f"{name} {us / max(ok, 1):.1f}" for name, us in inner.items()), flush=True)
