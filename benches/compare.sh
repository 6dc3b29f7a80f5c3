#!/usr/bin/env bash
# lanekeeper beside a bare rdkafka loop (benches/bare.rs), and beside any other program, on one Kafka.
#
#   BOOTSTRAP=127.0.0.1:9092 [PEER=program] [ROUNDS=3] [SECONDS_=10] benches/compare.sh guide|max
#
#   guide   1,024 producers x 2 msg/s of 100 B to 18 partitions, a consumer for each, for SECONDS_ after 3 s of warmup
#   max     3 million messages of 100 B as fast as they go, linger 5 ms
#
# Programs take turns (A B C A B C …), because runs on a shared machine differ by tens of per cent: compare only what
# ran side by side. CPU is user + system of the whole process, start and end included, taken from outside and so alike
# for all; RSS is what each says of itself.
#
# PEER is started with `-brokers HOST:PORT -topic NAME -mode assign -producer-clients 1 -compression none` and
#   guide   -seconds S -warmup W
#   max     -rate 0 -count 3000000 -linger 5ms
# on a topic that exists, and has to print a JSON object with `msgs_per_s`, `max_rss_kib`, `received` and
# `from_actual_send`: {`p50`, `p99`} (actual send to processed, in microseconds). It may fail with an exit code.
#
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
#   ARGUMENTS    more arguments for it, as in ARGUMENTS="--set client.producer.linger.ms=1"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

mode=${1:-}
case $mode in guide | max) ;; *)
  echo 'usage: BOOTSTRAP=127.0.0.1:9092 [PEER=program] [ROUNDS=3] [SECONDS_=10] benches/compare.sh guide|max' >&2
  exit 2
  ;;
esac
need_local_broker

cargo build --locked --quiet --release --example bare
need_lanekeeper
export BARE=target/release/examples/bare
export PEER=${PEER:-} ROUNDS=${ROUNDS:-3} SECONDS_=${SECONDS_:-10} ARGUMENTS=${ARGUMENTS:-}

exec python3 - "$mode" <<'PYTHON'
import json, os, shlex, shutil, statistics, subprocess, sys, tempfile, time

mode = sys.argv[1]
env = os.environ
bootstrap, bare, peer = env["BOOTSTRAP"], env["BARE"], env["PEER"]
seconds, warmup, count = env["SECONDS_"], "3", 3_000_000
RUN_SECONDS_MAX = 180


def measured(command, directory):
    """Runs a program; returns its stdout and the CPU seconds the system charged it with."""
    out, log = os.path.join(directory, "out"), os.path.join(directory, "log")
    with open(out, "w") as stdout, open(log, "w") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        deadline = time.monotonic() + RUN_SECONDS_MAX
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                process.kill()
                deadline = float("inf")
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = open(out).read()
    # The object may come after other lines.
    for start in (text.find("{"), text.rfind("\n{") + 1):
        try:
            return json.JSONDecoder().raw_decode(text[start:])[0], usage.ru_utime + usage.ru_stime
        except ValueError:
            continue
    sys.exit(f"error: {command[0]} ended with {process.returncode} and no result:\n{open(log).read()[-2000:]}")


def lanekeeper(directory):
    scenario = "scenarios/guide-option-2.toml" if mode == "guide" else "scenarios/max-rate.toml"
    command = [env["LANEKEEPER"], "run", scenario, "--bootstrap", bootstrap, "--format", "json"]
    command += ["--out", os.path.join(directory, "results"), *shlex.split(env["ARGUMENTS"])]
    if mode == "guide":
        command += ["--set", f"run.warmup={warmup}s", "--set", f"run.duration={seconds}s"]
    result, cpu = measured(command, directory)
    ledger, service = result["ledger"], result["latency_us"]["service"]
    wrong = {key: ledger[key] for key in ("lost", "duplicated", "reordered", "corrupt") if ledger[key]}
    note = result["verdict"] if not wrong else f"{result['verdict']} {wrong}"
    return {"cpu": cpu, "rss": result["cost"]["rss_max_bytes"], "p50": service["p50"], "p99": service["p99"],
            "rate": result["achieved_per_s"], "note": note + (f", {result['bottleneck']}" if mode == "max" else "")}


def on_topic(run, directory, name):
    topic = f"compare-{name}-{os.getpid()}-{time.time_ns()}"
    admin = [bare, "--bootstrap", bootstrap, "--topic", topic]
    subprocess.run([*admin, "--create"], check=True)
    try:
        return run(topic, directory)
    finally:
        subprocess.run([*admin, "--delete"], check=False)


def run_bare(topic, directory):
    command = [bare, "--bootstrap", bootstrap, "--topic", topic]
    if mode == "guide":
        command += ["--seconds", seconds, "--warmup", warmup]
    else:
        command += ["--rate", "0", "--count", str(count), "--linger-ms", "5"]
    result, cpu = measured(command, directory)
    return {"cpu": cpu, "rss": result["rss_max_bytes"], "p50": result["p50_us"], "p99": result["p99_us"],
            "rate": result["msgs_per_s"], "note": "" if result["received"] == result["sent"] else "lost records"}


def run_peer(topic, directory):
    command = [peer, "-brokers", bootstrap, "-topic", topic, "-mode", "assign", "-producer-clients", "1"]
    command += ["-compression", "none"]
    if mode == "guide":
        command += ["-seconds", seconds, "-warmup", warmup]
    else:
        command += ["-rate", "0", "-count", str(count), "-linger", "5ms"]
    result, cpu = measured(command, directory)
    actual = result["from_actual_send"]
    complete = mode == "guide" or result["received"] == count
    return {"cpu": cpu, "rss": result["max_rss_kib"] * 1024, "p50": actual["p50"], "p99": actual["p99"],
            "rate": result["msgs_per_s"], "note": "" if complete else "lost records"}


programs = {"lanekeeper": lanekeeper, "bare": lambda directory: on_topic(run_bare, directory, "bare")}
if peer:
    programs["peer"] = lambda directory: on_topic(run_peer, directory, "peer")
columns = [("cpu", "CPU s", 1, "{:.2f}"), ("rss", "RSS MiB", 2**20, "{:.1f}"), ("p50", "service p50 ms", 1e3, "{:.3f}"),
           ("p99", "service p99 ms", 1e3, "{:.2f}"), ("rate", "msg/s", 1, "{:,.0f}")]


def shown(figures):
    return "".join(f"{template.format(figures[key] / scale):>17}" for key, _, scale, template in columns)


print(f"{'':<18}" + "".join(f"{title:>17}" for _, title, _, _ in columns))
runs = {name: [] for name in programs}
for number in range(int(env["ROUNDS"])):
    for name, run in programs.items():
        directory = tempfile.mkdtemp(prefix="lanekeeper-compare-")
        figures = run(directory)
        shutil.rmtree(directory)
        runs[name].append(figures)
        print(f"{number + 1} {name:<16}{shown(figures)}  {figures['note']}", flush=True)
        time.sleep(1)

print("\nmedians (smallest - largest)")
median = {}
for name, all_figures in runs.items():
    of = {key: [figures[key] for figures in all_figures] for key, *_ in columns}
    median[name] = {key: statistics.median(values) for key, values in of.items()}
    print(f"  {name:<16}{shown(median[name])}")
    print(f"  {'':<16}" + "".join(
        f"{template.format(min(of[key]) / scale) + ' - ' + template.format(max(of[key]) / scale):>17}"
        for key, _, scale, template in columns))
print("\nratios of the medians, and of each round (smallest - largest)")
for name in list(programs)[1:]:
    of = {key: [a[key] / b[key] for a, b in zip(runs["lanekeeper"], runs[name])] for key, *_ in columns}
    print(f"  {'/ ' + name:<16}" + "".join(f"{median['lanekeeper'][key] / median[name][key]:>17.2f}" for key, *_ in columns))
    print(f"  {'':<16}" + "".join(f"{f'{min(of[key]):.2f} - {max(of[key]):.2f}':>17}" for key, *_ in columns))
PYTHON
