#!/usr/bin/env bash
# Measures how fast the simulator is.
#
#   [ROUNDS=5] benches/simulator.sh [guide|curve|large|explore]…     all of them without an argument
#
#   guide    1,024 producers x 2 msg/s on 18 partitions, 600 virtual seconds, on one broker and on three with replicas
#   curve    one broker, 60 virtual seconds, 256 to 16,384 producers: the time per record should stay the same
#   large    1,000 partitions with a consumer each, 100,000 producers x 2 msg/s, 10 virtual seconds
#   explore  SEEDS (10,000) seeds x 60 virtual seconds of a small scenario with drawn faults, two jobs
#
# Whole processes are timed, with start, report and the result directory of a run. Set-ups take turns, and medians are
# printed with ranges. Verification, histograms and the hash of the trace are on, as in every simulation.
#
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

for mode in "$@"; do
  case $mode in guide | curve | large | explore) ;; *)
    echo 'usage: [ROUNDS=5] [SEEDS=10000] benches/simulator.sh [guide|curve|large|explore]…' >&2
    exit 2
    ;;
  esac
done
need_lanekeeper
export ROUNDS=${ROUNDS:-5} SEEDS=${SEEDS:-10000}

exec python3 - "${@:-all}" <<'PYTHON'
import json, os, statistics, subprocess, sys, tempfile, time

program, rounds, seeds = os.environ["LANEKEEPER"], int(os.environ["ROUNDS"]), os.environ["SEEDS"]
modes = ["guide", "curve", "large", "explore"] if sys.argv[1:] == ["all"] else sys.argv[1:]
ONE = {"sim.brokers": "1", "topic.replication_factor": "1"}


def timed(command):
    """Runs a program; returns its wall-clock seconds and its largest RSS in MiB."""
    with tempfile.TemporaryFile() as log:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            log.seek(0)
            sys.exit(log.read().decode())
    return seconds, usage.ru_maxrss / 1024


def simulated(settings):
    """One run of the guide's scenario with `settings`: seconds, MiB, virtual seconds, records, events."""
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out")
        command = [program, "run", "scenarios/guide-option-2.toml", "--broker", "sim", "--seed", "7", "--out", out]
        for key, value in {"run.warmup": "0s", **settings}.items():
            command += ["--set", f"{key}={value}"]
        seconds, mib = timed(command)
        result = json.load(open(os.path.join(out, "result.json")))
        if result["ledger"]["lost"]:
            sys.exit("records were lost")
        simulation = result["simulation"]
        return seconds, mib, simulation["virtual_ns"] / 1e9, result["ledger"]["delivered"], simulation["events"]


def table(setups):
    """Runs all set-ups in turns and prints a line for each."""
    runs = {name: [] for name in setups}
    for _ in range(rounds):
        for name, settings in setups.items():
            runs[name].append(simulated(settings))
    print(f"{'':<26}{'records':>12}{'s':>8}{'range':>15}{'x real time':>13}{'us/record':>11}{'events/record':>15}{'MiB':>6}")
    for name, all_runs in runs.items():
        seconds = sorted(run[0] for run in all_runs)
        median = statistics.median(seconds)
        _, mib, virtual, records, events = all_runs[0]
        spread = f"{seconds[0]:.2f} - {seconds[-1]:.2f}"
        print(f"{name:<26}{records:>12,}{median:>8.2f}{spread:>15}{virtual / median:>13.0f}"
              f"{median / records * 1e6:>11.2f}{events / records:>15.2f}{mib:>6.0f}", flush=True)


SMALL = """
[topic]
partitions = 3
[load]
producers = 6
rate = "5/s"
[run]
warmup = "0s"
duration = "60s"
[[fault]]
at = "20s"
kill = { consumer = 1 }
"""

for mode in modes:
    print(f"\n{mode}")
    if mode == "guide":
        table({"one broker": {**ONE, "run.duration": "600s"}, "three, replicated": {"run.duration": "600s"}})
    elif mode == "curve":
        table({f"{n} producers": {**ONE, "run.duration": "60s", "load.producers": str(n)} for n in (256, 1024, 4096, 16384)})
    elif mode == "large":
        table({"1,000 x 100,000": {**ONE, "run.duration": "10s", "topic.partitions": "1000", "load.producers": "100000"}})
    else:
        with tempfile.TemporaryDirectory() as scratch:
            scenario = os.path.join(scratch, "small.toml")
            with open(scenario, "w") as file:
                file.write(SMALL)
            repro = os.path.join(scratch, "repro.toml")
            command = [program, "explore", scenario, "--seeds", seeds, "--jobs", "2", "--out", repro]
            seconds, mib = timed(command)
            if os.path.exists(repro):
                sys.exit("explore has found something and stopped:\n" + open(repro).read())
            virtual = int(seeds) * 60
            print(f"{int(seeds):,} seeds x 60 s in {seconds:.0f} s: {int(seeds) / seconds:.0f} seeds/s, "
                  f"{virtual / seconds:.0f} x real time, {mib:.0f} MiB")
PYTHON
