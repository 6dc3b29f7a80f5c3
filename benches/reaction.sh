#!/usr/bin/env bash
# Measures how fast the supervisor reacts while the client of another consumer takes 10 s to close. Consumer 1 is killed
# every 200 ms, first while nothing else happens, then while the client of consumer 0 is closing. The run is on the
# embedded cluster, in real time.
#
#   [ROUNDS=5] benches/reaction.sh
#
# Prints median, p99 and range of the time from a kill until the supervisor has detected it, and until it has started
# the replacement, in milliseconds. The goal is less than 10 ms, whatever another client does.
#
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

rounds=${ROUNDS:-5}
need_lanekeeper
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The faults 0 to 39 are the kills before the slow close, 40 is the slow close, 41 to 80 are the kills during it.
{
  printf '[topic]\npartitions = 4\n[load]\nproducers = 40\nrate = "20/s"\n[restart]\nstable = "50ms"\n'
  printf '[watchdog]\nclose = "20s"\n[run]\nwarmup = "1s"\nduration = "20s"\n'
  for ((i = 0; i < 40; i++)); do
    printf '[[fault]]\nat = "%dms"\nkill = { consumer = 1 }\n' $((1500 + i * 200))
  done
  printf '[[fault]]\nat = "10s"\nfor = "10s"\nlate_close = { consumer = 0 }\n'
  for ((i = 0; i < 40; i++)); do
    printf '[[fault]]\nat = "%dms"\nkill = { consumer = 1 }\n' $((10500 + i * 200))
  done
} >"$scratch/reaction.toml"

for ((round = 1; round <= rounds; round++)); do
  "$LANEKEEPER" run "$scratch/reaction.toml" --out "$scratch/$round" --seed "$round" \
    --set limits.lateness_p99=1h --set limits.cpu_share=1.0 --set limits.sent_min=0.0 >"$scratch/report" 2>&1 ||
    {
      cat "$scratch/report" >&2
      exit 1
    }
done

python3 - "$scratch" "$rounds" <<'PYTHON'
import json, statistics, sys

scratch, rounds = sys.argv[1], int(sys.argv[2])
times = {(when, figure): [] for when in ("quiet", "closing") for figure in ("detected_ms", "restarted_ms")}
closed = []
for number in range(1, rounds + 1):
    result = json.load(open(f"{scratch}/{number}/result.json"))
    ledger = result["ledger"]
    assert ledger["lost"] == 0, ledger
    for fault in result["faults"]:
        when = "quiet" if fault["fault"] < 40 else "closing"
        if fault["kind"] == "late_close":
            closed.append(fault["closed_ms"])
            continue
        for figure in ("detected_ms", "restarted_ms"):
            if fault.get(figure) is not None:
                times[when, figure].append(fault[figure])
print(f"{rounds} rounds; the late client closed after {min(closed) / 1e3:.2f} - {max(closed) / 1e3:.2f} s")
print(f"{'ms':<22}{'n':>5}{'p50':>10}{'p99':>10}{'min':>10}{'max':>10}")
for (when, figure), values in times.items():
    values.sort()
    p99 = values[min(len(values) - 1, int(0.99 * len(values)))]
    print(f"{when + ', ' + figure[:-3]:<22}{len(values):>5}" + "".join(f"{v:>10.3f}" for v in (statistics.median(values), p99, values[0], values[-1])))
PYTHON
