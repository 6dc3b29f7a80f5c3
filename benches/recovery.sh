#!/usr/bin/env bash
# Measures how long the partition of a killed consumer stalls, with lanekeeper's two clients in turns, on a local Kafka.
#
#   BOOTSTRAP=127.0.0.1:9092 [KILLS=200] [ROUNDS=4] [RATE=6000] [PARTITIONS=2] benches/recovery.sh [one|all]
#
#   one   KILLS kills of one consumer, one after the other, with RATE msg/s on its partition
#   all   KILLS / 10 kills of all consumers at once, with RATE msg/s on each partition; give PARTITIONS=18 RATE=114
#
# The kills are spread over ROUNDS runs of each client, which take turns. Prints median, p99 and range of the time from
# a kill until the supervisor has detected it, until the restart, until the first record, until the consumer has caught
# up, and until the old client is closed, in milliseconds, and the ratios of the clients. It also prints the time
# between two records (1 / RATE), which the time to the first record includes a part of. On a busy machine the ratios
# are more reliable than the times.
#
# If `strace` can be used, the largest number of threads at once and the number of threads made in all are printed for
# each run. A difference means that restarts made threads.
#
#   CLIENTS      which clients, as in CLIENTS="native"
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

mode=${1:-one}
case $mode in one | all) ;; *)
  echo 'usage: BOOTSTRAP=127.0.0.1:9092 [KILLS=200] [ROUNDS=4] [RATE=6000] [PARTITIONS=2] benches/recovery.sh [one|all]' >&2
  exit 2
  ;;
esac
need_local_broker
kills=${KILLS:-200} rounds=${ROUNDS:-4} rate=${RATE:-6000} partitions=${PARTITIONS:-2}
clients=${CLIENTS:-native rdkafka}
need_lanekeeper

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
hit=0 times=$(((kills + rounds - 1) / rounds))
if [ "$mode" = all ]; then
  hit='"all"' times=$(((times + 9) / 10))
fi
kills_scenario "$times" "$rate" "$partitions" "$hit" >"$scratch/recovery.toml"
counting=()
if strace -f -e trace=none true 2>/dev/null; then
  counting=(strace -f -qq --seccomp-bpf -e trace=clone,clone3 -o)
fi

for ((round = 1; round <= rounds; round++)); do
  for client in $clients; do
    out=$scratch/$client-$round
    # With limits that no run reaches, a run is valid even if it was late: only the times of the faults count here.
    ${counting[@]+"${counting[@]}" "$out.made"} "$LANEKEEPER" run "$scratch/recovery.toml" --bootstrap "$BOOTSTRAP" \
      --client "$client" --out "$out" --seed "$round" --set limits.lateness_p99=1h --set limits.cpu_share=1.0 \
      --set limits.sent_min=0.0 >"$scratch/report" 2>&1 ||
      {
        cat "$scratch/report" >&2
        exit 1
      }
  done
done

python3 - "$scratch" "$rounds" "$rate" $clients <<'PYTHON'
import json, math, os, sys

scratch, rounds, rate, clients = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
FIGURES = ["detected_ms", "restarted_ms", "first_record_ms", "caught_up_ms", "closed_ms"]
print(f"{rounds} runs of each client in turns; load average {os.getloadavg()[0]:.1f}")
print(f"records of a killed partition are {1e3 / rate:.3f} ms apart")


def rank(values, q):
    return values[max(0, math.ceil(q * len(values)) - 1)]


of = {}
for client in clients:
    results = [json.load(open(f"{scratch}/{client}-{n}/result.json")) for n in range(1, rounds + 1)]
    ledger = {key: sum(result["ledger"][key] for result in results) for key in ("lost", "duplicated", "redelivered")}
    counts = ", ".join(f"{key} {count}" for key, count in ledger.items())
    print(f"\n{client}: {sum(result['restarts'] for result in results)} restarts, {counts}")
    for n, result in enumerate(results, 1):
        try:
            made = sum(" = " in line and "= -1" not in line for line in open(f"{scratch}/{client}-{n}.made"))
        except OSError:
            break
        print(f"  run {n}: at most {result['cost']['threads_max']} threads at once, {made + 1} in all")
    print(f"  {'ms':<14}{'n':>5}{'p50':>10}{'p99':>10}{'min':>10}{'max':>10}")
    for figure in FIGURES:
        faults = [fault for result in results for fault in result["faults"]]
        values = sorted(fault[figure] for fault in faults if fault.get(figure) is not None)
        if not values:
            continue
        row = of[client, figure] = [rank(values, 0.5), rank(values, 0.99), values[0], values[-1]]
        print(f"  {figure[:-3]:<14}{len(values):>5}" + "".join(f"{value:>10.2f}" for value in row))
if len(clients) > 1:
    first, *others = clients
    for other in others:
        print(f"\nratio {first} / {other}{'':<4}{'p50':>10}{'p99':>10}")
        for figure in FIGURES:
            if (first, figure) in of and (other, figure) in of:
                pair = zip(of[first, figure][:2], of[other, figure][:2])
                print(f"  {figure[:-3]:<20}" + "".join(f"{a / b if b else math.nan:>10.2f}" for a, b in pair))
PYTHON
