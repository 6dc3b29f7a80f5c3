#!/usr/bin/env bash
# Compares lanekeeper's times from send to acknowledgement with those of an independent program (benches/bare.rs --acks,
# which takes the time in the delivery callback), for the same paced load on one Kafka. Both programs run at the same
# time, so that other load of the machine affects both.
#
#   BOOTSTRAP=127.0.0.1:9092 [ROUNDS=5] [SECONDS_=20] benches/acks.sh
#
# Prints p50 and p99 (ms) and the number of acknowledgements of each run, then medians with ranges, and the ratio of the
# p50. Exits with 1 if the medians of the p50 differ by more than 15 %, if a time is negative, or if the numbers of
# acknowledgements of two runs differ by more than 1 %.
#
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh
need_local_broker

cargo build --locked --quiet --release --example bare
need_lanekeeper
export ROUNDS=${ROUNDS:-5} SECONDS_=${SECONDS_:-20}

exec python3 - <<'PYTHON'
import concurrent.futures, json, os, statistics, subprocess, sys, tempfile, time

env = os.environ
bootstrap, seconds, warmup = env["BOOTSTRAP"], int(env["SECONDS_"]), 3
bare = "target/release/examples/bare"
AGREES = 0.15
RUN_SECONDS_MAX = seconds + 120


def output(command):
    finished = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
    if not finished.stdout.startswith("{"):
        sys.exit(f"error: {command[0]} ended with {finished.returncode} and no result:\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout)


def by_lanekeeper():
    with tempfile.TemporaryDirectory(prefix="lanekeeper-acks-") as directory:
        command = [env["LANEKEEPER"], "run", "scenarios/guide-option-2.toml", "--bootstrap", bootstrap]
        command += ["--format", "json", "--out", f"{directory}/results"]
        command += ["--set", f"run.warmup={warmup}s", "--set", f"run.duration={seconds}s"]
        ack = output(command)["latency_us"]["ack"]
    return {"p50": ack["p50"], "p99": ack["p99"], "count": ack["count"], "negative": ack["negative"]}


def by_bare():
    topic = f"acks-{os.getpid()}-{time.time_ns()}"
    admin = [bare, "--bootstrap", bootstrap, "--topic", topic]
    subprocess.run([*admin, "--create"], check=True)
    try:
        ack = output([*admin, "--acks", "--seconds", str(seconds), "--warmup", str(warmup)])["ack"]
    finally:
        subprocess.run([*admin, "--delete"], check=False)
    return {"p50": ack["p50_us"], "p99": ack["p99_us"], "count": ack["count"], "negative": 0}


def shown(p50, p99):
    return f"{p50 / 1e3:>10.3f}{p99 / 1e3:>10.3f}"


programs = {"lanekeeper": by_lanekeeper, "independent": by_bare}
runs = {name: [] for name in programs}
print(f"{'':<16}{'p50 ms':>10}{'p99 ms':>10}{'acks':>10}{'negative':>10}")
for number in range(int(env["ROUNDS"])):
    with concurrent.futures.ThreadPoolExecutor() as both:
        running = {name: both.submit(program) for name, program in programs.items()}
    for name, run in running.items():
        figures = run.result()
        runs[name].append(figures)
        print(f"{number + 1} {name:<14}{shown(figures['p50'], figures['p99'])}{figures['count']:>10,}{figures['negative']:>10}", flush=True)

print("\nmedians (smallest - largest)")
median = {}
for name, figures in runs.items():
    of = {key: [run[key] for run in figures] for key in ("p50", "p99")}
    median[name] = {key: statistics.median(values) for key, values in of.items()}
    print(f"  {name:<14}{shown(**median[name])}")
    for word, pick in (("smallest", min), ("largest", max)):
        print(f"    {word:<12}{shown(**{key: pick(values) for key, values in of.items()})}")

ratios = [a["p50"] / b["p50"] for a, b in zip(runs["lanekeeper"], runs["independent"])]
ratio = median["lanekeeper"]["p50"] / median["independent"]["p50"]
print(f"\nlanekeeper / independent, p50: {ratio:.2f} ({min(ratios):.2f} - {max(ratios):.2f})")
wrong = []
if abs(ratio - 1) > AGREES:
    wrong.append(f"the medians differ by more than {AGREES:.0%}")
if any(run["negative"] for run in runs["lanekeeper"]):
    wrong.append("there are negative values")
counts = {run["count"] for figures in runs.values() for run in figures}
if max(counts) - min(counts) > 0.01 * max(counts):
    wrong.append(f"the numbers of acknowledgements differ: {sorted(counts)}")
for what in wrong:
    print(f"error: {what}")
sys.exit(1 if wrong else 0)
PYTHON
