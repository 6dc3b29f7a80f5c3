#!/usr/bin/env bash
# Measures the CPU time of lanekeeper per message for runs of different sizes on a local Kafka: at the guide's rate,
# 2,048 msg/s in all, with more partitions (a consumer for each), or more producers (with connections of their own).
#
#   BOOTSTRAP=127.0.0.1:9092 [ROUNDS=3] [SECONDS_=10] benches/growth.sh
#
# Each size is run for 3 s and for 3 s + SECONDS_. The difference of their CPU times, divided by the difference of their
# numbers of messages, is the cost of a message without the start and the end of a run. Sizes take turns. Prints this
# cost in microseconds (user + system) with median, range, and the ratio to the first size with the same CLIENTS, and
# the largest RSS, threads and sockets of the last round.
#
# Kafka needs a file descriptor for each connection, too: see `ulimit -n`.
#
#   CLIENT       native, or rdkafka
#   SIZES        other sizes, as PARTITIONS/PRODUCERS/CLIENTS: SIZES="18/1024/pool 180/1024/pool"
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

need_local_broker
need_lanekeeper
export ROUNDS=${ROUNDS:-3} SECONDS_=${SECONDS_:-10} CLIENT=${CLIENT:-native}
export SIZES=${SIZES:-18/1024/pool 180/1024/pool 1000/1024/pool 18/1024/producer 18/10000/producer}

exec python3 - <<'PYTHON'
import json, os, statistics, subprocess, sys, tempfile

env = os.environ
rounds, seconds, start = int(env["ROUNDS"]), int(env["SECONDS_"]), 3
sizes = env["SIZES"].split()


def run(size, duration, directory):
    partitions, producers, clients = size.split("/")
    text = (f'[topic]\npartitions = {partitions}\n[load]\nproducers = {producers}\nrate_total = "2048/s"\n'
            f'clients = "{clients}"\n[run]\nwarmup = "2s"\nduration = "{duration}s"\nstartup = "60s"\n')
    scenario = os.path.join(directory, "growth.toml")
    open(scenario, "w").write(text)
    out = os.path.join(directory, f"{size.replace('/', '-')}-{duration}")
    command = [env["LANEKEEPER"], "run", scenario, "--bootstrap", env["BOOTSTRAP"], "--client", env["CLIENT"]]
    command += ["--out", out]
    # With limits that no run reaches, a run is valid even if it was late: only its cost counts here.
    for limit in ("lateness_p99=1h", "cpu_share=1.0", "sent_min=0.0"):
        command += ["--set", f"limits.{limit}"]
    subprocess.run(["rm", "-rf", out], check=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    try:
        result = json.load(open(os.path.join(out, "result.json")))
    except OSError:
        sys.exit(f"error: no result of {size}:\n{said[-2000:]}")
    ledger = result["ledger"]
    if ledger["lost"] or ledger["duplicated"]:
        sys.exit(f"error: {size}: {ledger}")
    return usage.ru_utime + usage.ru_stime, ledger["delivered"], result["cost"]


of = {size: [] for size in sizes}
costs = {}
with tempfile.TemporaryDirectory() as directory:
    for number in range(1, rounds + 1):
        for size in sizes:
            cpu, messages, _ = run(size, 3, directory)
            more_cpu, more_messages, cost = run(size, 3 + seconds, directory)
            of[size].append((more_cpu - cpu) / (more_messages - messages) * 1e6)
            costs[size] = cost
            print(f"{number} {size:<22}{of[size][-1]:>8.1f} us per message", flush=True)
print(f"\n{env['CLIENT']}, {rounds} rounds, load average {os.getloadavg()[0]:.1f}")
print(f"{'partitions/producers/clients':<30}{'us':>8}{'range':>18}{'ratio':>8}{'RSS MiB':>10}{'threads':>9}{'sockets':>9}")
first = {}
for size in sizes:
    kind, middle = size.rsplit("/", 1)[1], statistics.median(of[size])
    ratio = middle / first.setdefault(kind, middle)
    spread, cost = f"{min(of[size]):.1f} - {max(of[size]):.1f}", costs[size]
    print(f"{size:<30}{middle:>8.1f}{spread:>18}{ratio:>8.2f}{cost['rss_max_bytes'] / 2**20:>10.1f}"
          f"{cost['threads_max']:>9}{cost['sockets_max']:>9}")
PYTHON
