#!/usr/bin/env bash
# How long a killed consumer's partition stands still: KILLS kills of one consumer on a local Kafka, one after the
# other, with at least 5,000 msg/s on its partition.
#
#   BOOTSTRAP=127.0.0.1:9092 [KILLS=200] [RATE=6000] [PARTITIONS=2] benches/recovery.sh
#
# Prints median, p99 and range of detection (kill -> the supervisor knows), of the restart, of the first record after it,
# of the old client's close, and of having caught up, in milliseconds. Beside it the spacing of the records (1 / rate):
# nothing can be faster than that. Run it on a quiet machine; on a busy one it measures the machine.
#
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

need_local_broker
kills=${KILLS:-200} rate=${RATE:-6000} partitions=${PARTITIONS:-2}
need_lanekeeper

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
kills_scenario "$kills" "$rate" "$partitions" >"$scratch/recovery.toml"

# The limits are lifted: what counts here is in the faults' times.
"$LANEKEEPER" run "$scratch/recovery.toml" --bootstrap "$BOOTSTRAP" --out "$scratch/out" \
  --set limits.lateness_p99=1h --set limits.cpu_share=1.0 --set limits.sent_min=0.0 >"$scratch/report" 2>&1 ||
  {
    cat "$scratch/report" >&2
    exit 1
  }

python3 - "$scratch/out/result.json" "$rate" <<'PYTHON'
import json, math, sys

result = json.load(open(sys.argv[1]))
ledger = result["ledger"]
print(f"{result['achieved_per_s']:.0f} msg/s in all; records of the killed partition are {1e3 / float(sys.argv[2]):.3f} ms apart")
print(f"restarts {result['restarts']}, lost {ledger['lost']}, duplicated {ledger['duplicated']}, redelivered {ledger['redelivered']}")
print(f"{'ms':<14}{'n':>5}{'p50':>10}{'p99':>10}{'min':>10}{'max':>10}")
for figure in ["detected_ms", "restarted_ms", "first_record_ms", "caught_up_ms", "closed_ms"]:
    values = sorted(fault[figure] for fault in result["faults"] if fault.get(figure) is not None)
    if not values:
        continue
    rank = lambda q: values[max(0, math.ceil(q * len(values)) - 1)]
    row = [rank(0.5), rank(0.99), values[0], values[-1]]
    print(f"{figure[:-3]:<14}{len(values):>5}" + "".join(f"{value:>10.2f}" for value in row))
PYTHON
