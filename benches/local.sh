# shellcheck shell=bash
# Functions of the benches, which source this file from the project's root.

# Fails unless BOOTSTRAP is one broker on this machine: the load of a bench must not reach a cluster that is in use.
need_local_broker() {
  if [[ ! ${BOOTSTRAP:-} =~ ^(127\.0\.0\.1|localhost|\[::1\]):[0-9]+$ ]]; then
    echo 'error: BOOTSTRAP has to be one broker on this machine' >&2
    echo '  help: tests/kafka.sh start' >&2
    exit 2
  fi
  export BOOTSTRAP
}

# Leaves the path of the program to run in LANEKEEPER; builds the program if LANEKEEPER is unset.
need_lanekeeper() {
  [ -n "${LANEKEEPER:-}" ] || cargo build --locked --quiet --release
  export LANEKEEPER=${LANEKEEPER:-target/release/lanekeeper}
}

# kills_scenario KILLS RATE PARTITIONS [HIT]: prints a scenario with KILLS kills of consumer HIT (0), one every 300 ms,
# at RATE msg/s on each of PARTITIONS partitions. A consumer counts as stable after 50 ms, so that each restart comes
# without a backoff.
kills_scenario() {
  local kills=$1 rate=$2 partitions=$3 hit=${4:-0} i
  printf '[topic]\npartitions = %d\n' "$partitions"
  printf '[load]\nproducers = %d\nrate = "%d/s"\n' $((partitions * 10)) $((rate / 10))
  printf '[restart]\nstable = "50ms"\n'
  printf '[run]\nwarmup = "1s"\nduration = "%dms"\n' $((kills * 300 + 2000))
  for ((i = 0; i < kills; i++)); do
    printf '[[fault]]\nat = "%dms"\nkill = { consumer = %s }\n' $((1500 + i * 300)) "$hit"
  done
}
