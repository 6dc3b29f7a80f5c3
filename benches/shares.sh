#!/usr/bin/env bash
# Runs N processes on one machine as the shares of one run with PRODUCERS producers, and merges their results.
#
#   BOOTSTRAP=127.0.0.1:9092 [SECONDS_=60] benches/shares.sh N PRODUCERS [ARGUMENTS of run]
#
# Prints the merged report, the exit codes, and for each process the numbers of sent and processed records, its send
# delay, CPU time and largest RSS. Exits with the exit code of `merge`. Each process gets the ARGUMENTS, as in
# `--set load.partition=random`.
#
#   RATE         messages of each producer: 0.05/s
#   PARTITIONS   100, at least N
#   CLIENT       native, or rdkafka
#   OUT          a directory for the results, which must not exist; without OUT the results are removed
#   LANEKEEPER   a program to run instead of target/release/lanekeeper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/local.sh

if [[ ! ${1:-} =~ ^[1-9][0-9]?$ || ! ${2:-} =~ ^[1-9][0-9]{0,6}$ ]]; then
  echo 'usage: BOOTSTRAP=127.0.0.1:9092 benches/shares.sh N PRODUCERS [ARGUMENTS], with 1 to 99 processes' >&2
  exit 2
fi
need_local_broker
need_lanekeeper
processes=$1 producers=$2
shift 2
seconds=${SECONDS_:-60}
scratch=$(mktemp -d)
out=${OUT:-$scratch/results}
pids=()
finish() {
  local code=$? pid
  trap - EXIT INT TERM
  # `jobs` lists only children of this shell that still run.
  for pid in $(jobs -p); do kill -TERM "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$scratch"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -e "$out" ]; then
  echo "error: \`$out\` is there already" >&2
  exit 2
fi
mkdir -p "$out"

cat >"$scratch/shares.toml" <<SCENARIO
[topic]
name = "lanekeeper-shares-bench-$$"
partitions = ${PARTITIONS:-100}
replication_factor = 1
[load]
producers = $producers
rate = "${RATE:-0.05/s}"
pools = 1
[run]
startup = "120s"
warmup = "10s"
duration = "${seconds}s"
drain = "60s"
SCENARIO

began=$(date +%s)
for i in $(seq "$processes"); do
  "$LANEKEEPER" run "$scratch/shares.toml" --bootstrap "$BOOTSTRAP" --client "${CLIENT:-native}" --share "$i/$processes" \
    --out "$out/share-$i" "$@" >"$out/share-$i.log" 2>&1 &
  pids+=($!)
done
codes=()
for pid in "${pids[@]}"; do
  code=0
  wait "$pid" || code=$?
  codes+=("$code")
done
ended=$(date +%s)
if ! compgen -G "$out/share-*/result.json" >/dev/null; then
  cat "$out/share-1.log" >&2
  exit 1
fi
code=0
"$LANEKEEPER" merge "$out"/share-*/ --out "$out/all" || code=$?
printf '\nexit codes %s; %s s in all\n' "${codes[*]}" $((ended - began))
python3 - "$out/all/result.json" <<'PYTHON'
import json, sys

shares = json.load(open(sys.argv[1]))["shares"]
print(f"{'share':>5}{'state':>12}{'sent':>10}{'delivered':>11}{'late p99 ms':>13}{'CPU s':>8}{'RSS MiB':>9}")
for it in shares["processes"]:
    late, cpu, rss = (it[key] or 0 for key in ("lateness_p99_us", "cpu_s", "rss_max_bytes"))
    print(f"{it['share']:>5}{it['state']:>12}{it['sent']:>10,}{it['delivered']:>11,}{late / 1e3:>13.1f}{cpu:>8.1f}{rss / 2**20:>9.1f}")
PYTHON
exit "$code"
