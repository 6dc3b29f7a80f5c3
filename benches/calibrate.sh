#!/usr/bin/env bash
# The simulator beside a real Kafka on this machine: the same crash, with the same settings, at the same moments.
#
#   BOOTSTRAP=127.0.0.1:9092 [ROUNDS=5] [SET="sim.latency=60us sim.jitter=30us"] benches/calibrate.sh
#
# Three cases at the guide's load (1,024 producers, 2,048 msg/s, 18 partitions, 18 consumers), in each of which consumer 7
# is killed: explicit assignment, a group with `range` (eager), a group with `cooperative-sticky`. Runs take turns
# (Kafka, simulator, Kafka, …); each round kills 370 ms later, so that crashes fall between heartbeats in all ways.
#
# Prints for each case the time from the fault to the first record, the longest pause of the partitions that were aimed
# at, and of the others: median and range on both. They agree when the medians differ by 15 % or by less than a
# heartbeat (2 s, groups only). Exits with 1 if a case does not. Kill recovery is milliseconds: it needs a quiet machine.
#
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
#   SET          more overrides, for both; those of [sim] say nothing to Kafka
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

need_local_broker
need_lanekeeper
export ROUNDS=${ROUNDS:-5} SET=${SET:-}

exec python3 - <<'PYTHON'
import json, os, statistics, subprocess, sys, tempfile

rounds = int(os.environ["ROUNDS"])
HEARTBEAT_MS = 2_000
GROUP = ['consumers.mode="group"', "consumers.count=18"]
CASES = [
    ("explicit assignment", []),
    ("group, range", [*GROUP, 'consumers.assignor="range"']),
    ("group, cooperative-sticky", [*GROUP, 'consumers.assignor="cooperative-sticky"']),
]
FIGURES = ["fault to first record", "longest pause, aimed at", "longest pause, others"]


def run(where, settings, at_ms, directory):
    """One run; the three figures in milliseconds."""
    command = [os.environ["LANEKEEPER"], "run", "scenarios/kill-one-consumer.toml", "--out", directory, "--format", "json"]
    command += ["--broker", "sim", "--set", "sim.brokers=1"] if where == "sim" else ["--bootstrap", os.environ["BOOTSTRAP"]]
    settings = settings + ["run.warmup=2s", "run.duration=18s", f"fault[0].at={at_ms}ms", "limits.lateness_p99=1h"]
    settings += ["limits.cpu_share=1.0", "limits.achieved_min=0.0", *os.environ["SET"].split()]
    for setting in settings:
        command += ["--set", setting]
    if where == "sim":
        command += ["--seed", str(at_ms)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    # Expectations that only hold under explicit assignment fail with groups.
    if done.returncode not in (0, 1):
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    if result["ledger"]["lost"]:
        sys.exit(f"error: {where} lost {result['ledger']['lost']} records")
    fault = result["faults"][0]
    pauses = {True: [], False: []}
    for partition in result["partitions"]:
        pauses[partition["partition"] in fault["partitions_aimed_at"]].append(partition["longest_pause_ms"])
    return [fault["first_record_ms"], max(pauses[True]), max(pauses[False])]


found = {}
with tempfile.TemporaryDirectory() as scratch:
    for number in range(rounds):
        for name, settings in CASES:
            for where in ("kafka", "sim"):
                directory = os.path.join(scratch, f"{number}-{len(found)}-{where}-{name.replace(' ', '-')}")
                figures = run(where, settings, 6_000 + 370 * number, directory)
                print(f"{name}, round {number + 1}, {where}: " + ", ".join(f"{ms:.1f} ms" for ms in figures), file=sys.stderr)
                for figure, ms in zip(FIGURES, figures):
                    found.setdefault((name, figure, where), []).append(ms)

agree = True
print(f"| | | Kafka | simulator | difference | |\n|---|---|---|---|---|---|")
for name, settings in CASES:
    for figure in FIGURES:
        real, simulated = found[name, figure, "kafka"], found[name, figure, "sim"]
        a, b = statistics.median(real), statistics.median(simulated)
        is_near = abs(a - b) <= 0.15 * a or (settings and abs(a - b) <= HEARTBEAT_MS)
        # Nobody else is hit: their pauses are the machine's, not the fault's.
        counts = figure != FIGURES[2] or "range" in name
        agree &= bool(is_near) or not counts
        verdict = ("agrees" if is_near else "does not agree") if counts else "no pause of the fault"
        spread = lambda all: f"{statistics.median(all):,.1f} ms [{min(all):,.1f}–{max(all):,.1f}]"
        print(f"| {name} | {figure} | {spread(real)} | {spread(simulated)} | {100 * (b - a) / a:+.1f} % | {verdict} |")
sys.exit(0 if agree else 1)
PYTHON
