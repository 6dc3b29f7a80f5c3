#!/usr/bin/env bash
# A campaign of random faults: one run breaks consumers, pools and brokers at times drawn from one seed, and fails
# unless every record is accounted for at its end. It runs on the embedded cluster, or on a Kafka of three brokers that
# this script starts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly EXIT_USAGE=2

usage() {
  cat <<USAGE
usage: tests/chaos.sh [--broker embedded|kafka] [--client rdkafka|native] [--minutes M] [--seed N] [--out DIR]

  --broker   embedded, or kafka: three brokers with three copies of everything, two of which must be in sync (embedded)
  --client   the client of consumers and producers (rdkafka)
  --minutes  how long faults are put in (1)
  --seed     root of all randomness: the same seed plans the same faults (1)
  --out      where the scenario and the results go (target/chaos/BROKER-CLIENT-SEED)

  LANEKEEPER  a program to run instead of the one that is built here

exit codes: those of \`lanekeeper run\`; 0 when every record is accounted for
USAGE
}

bad_usage() {
  printf 'error: %s\n' "$1" >&2
  usage >&2
  exit "$EXIT_USAGE"
}

broker=embedded client=rdkafka minutes=1 seed=1 out=''
while [ $# -gt 0 ]; do
  case $1 in
    --broker | --client | --minutes | --seed | --out)
      [ $# -ge 2 ] || bad_usage "\`$1\` needs a value"
      case $1 in
        --broker) broker=$2 ;;
        --client) client=$2 ;;
        --minutes) minutes=$2 ;;
        --seed) seed=$2 ;;
        --out) out=$2 ;;
      esac
      shift 2
      ;;
    help | -h | --help)
      usage
      exit
      ;;
    *) bad_usage "there is no option \`$1\`" ;;
  esac
done
[ "$broker" = embedded ] || [ "$broker" = kafka ] || bad_usage "there is no broker \`$broker\`"
[ "$client" = rdkafka ] || [ "$client" = native ] || bad_usage "there is no client \`$client\`"
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || bad_usage "\`$minutes\` minutes: a whole number is needed"
[[ $seed =~ ^[0-9]{1,18}$ ]] || bad_usage "the seed \`$seed\` is no number"
out=${out:-target/chaos/$broker-$client-$seed}
case $out in /*) ;; *) out=$PWD/$out ;; esac
rm -rf "$out"
mkdir -p "$out"
scenario=$out/chaos.toml

# fault AT EVERY JITTER FOR KIND: prints one repeated fault, times in seconds. An empty FOR leaves the key `for` out.
entries=0
commands=()
fault() {
  # The run expects that none of them is missed, which includes a command that fails (see [expect] below).
  case $5 in exec*) commands+=("$entries") ;; esac
  entries=$((entries + 1))
  printf '\n[[fault]]\nat = "%ss"\nevery = "%ss"\njitter = "%ss"\n' "$1" "$2" "$3"
  if [ -n "$4" ]; then printf 'for = "%s"\n' "$4"; fi
  printf '%s\n' "$5"
}

# In the order of their first times, as in a scenario file.
faults() {
  fault 2 7 2 '' 'kill = { consumer = { random = 2 } }'
  fault 3 11 3 '' 'panic = { consumer = { random = 2 } }'
  fault 4 13 3 '' 'stop = { consumer = { random = 1 } }'
  fault 5 17 4 2s 'hang = { consumer = { random = 1 } }'
  fault 6 19 4 1s 'stall = { consumer = { random = 2 } }'
  fault 7 23 5 3s 'slow = { consumer = { random = 3 }, add = "2ms" }'
  fault 8 29 5 3s 'late_close = { consumer = { random = 2 } }'
  if [ "$broker" = kafka ]; then fault 9 120 5 15s "$(exec_of kill revive 2)"; fi
  fault 10 31 6 '' 'crash_loop = { consumer = { random = 1 }, times = 2 }'
  fault 11 37 6 1s 'pause = { pool = { random = 1 } }'
  fault 12 41 6 2s 'burst = { pool = { random = 1 }, factor = 3 }'
  fault 13 29 6 2s 'produce_call = { pool = { random = 1 }, delay = "50ms" }'
  fault 13 31 6 1s 'fetch_call = { consumer = { random = 3 }, drop = true, share = 0.5 }'
  fault 13 37 6 500ms 'fetch_call = { consumer = { random = 1 }, error = "fatal" }'
  if [ "$broker" = embedded ]; then
    fault 13 43 6 '' 'kill = { pool = { random = 1 } }'
    fault 14 47 6 2s 'broker_down = { broker = { random = 1 } }'
    fault 15 53 6 2s 'broker_rtt = { broker = "all", delay = "20ms" }'
    fault 16 59 6 '' 'request_error = { api = "produce", code = "not-leader", count = 3 }'
    fault 17 61 6 '' 'request_error = { api = "fetch", code = "request-timed-out", count = 3 }'
  else
    fault 48 120 5 8s "$(exec_of pause resume 3)"
    if [ "$minutes" -gt 1 ]; then fault 80 120 5 15s "$(exec_of kill revive 1)"; fi
  fi
}

# exec_of BREAK MEND BROKER: prints a fault that runs `tests/kafka.sh`. The times of these faults leave each broker time
# to restart before the next one is broken: a record is acknowledged only while two of the three brokers are in sync,
# and a fault that is due while too many brokers are down is missed.
exec_of() {
  printf 'exec = { start = ["tests/kafka.sh", "%s", "%s"], end = ["tests/kafka.sh", "%s", "%s"], brokers = [%s], limit = "100s" }' "$1" "$3" "$2" "$3" "$3"
}

{
  cat <<SCENARIO
# A campaign of random faults on the $broker cluster: whatever happens, every record is accounted for.

[topic]
partitions = 18
replication_factor = 3
$([ "$broker" = kafka ] && echo min_insync_replicas = 2)

[load]
producers = 180
rate = "5/s"
pools = 2
idempotence = $([ "$broker" = kafka ] && echo true || echo false)

[embedded]
brokers = 3

[consumers]
work = { cpu = "20us" }

[run]
warmup = "1s"
duration = "$((minutes * 60))s"
drain = "2m"
seed = $seed

[limits]
# What the tester itself could do in time is of no interest here.
sent_min = 0.1
lateness_p99 = "1m"
cpu_share = 1.0
sequence_gaps = 65536
SCENARIO
  faults
  cat <<SCENARIO

[expect]
lost = 0
corrupt = 0
other_producers = 0
wrong_partition = 0
unexpected_redelivered = 0
given_up = 0
# Faults go on until the load ends: how long records wait is of no interest, only that each is accounted for.
keeps_up = ">= 0"
SCENARIO
  for entry in "${commands[@]}"; do printf '"fault[%s].missed" = 0\n' "$entry"; done
  # The embedded cluster checks no sequences, so idempotence is off there: an idempotent client concludes from the
  # acknowledgement of a later record that an earlier one was appended, which holds only if the broker checks sequences.
  # Without idempotence a retry can append a record twice or out of order, and after a broken connection it can stay
  # unknown whether a record was appended (`indeterminate`).
  if [ "$broker" = kafka ]; then
    printf 'duplicated = 0\nreordered = 0\n'
  else
    printf 'indeterminate = ">= 0"\n'
  fi
} >"$scenario"

tool=${LANEKEEPER:-}
if [ -z "$tool" ]; then
  cargo build --locked --quiet
  tool=${CARGO_TARGET_DIR:-target}/debug/lanekeeper
fi

if [ "$broker" = embedded ]; then
  exec "$tool" run "$scenario" --client "$client" --out "$out/result"
fi

# A cluster of its own, so that the faults hit no broker of another test.
export LANEKEEPER_KAFKA_DIR=$out/kafka
export LANEKEEPER_KAFKA_PORT=${LANEKEEPER_KAFKA_PORT:-19592}
trap 'tests/kafka.sh stop' EXIT
tests/kafka.sh start 3
"$tool" run "$scenario" --client "$client" --out "$out/result" --allow-exec --bootstrap "$(cat "$LANEKEEPER_KAFKA_DIR/bootstrap")"
