# shellcheck shell=bash
# What the benches share; sourced by them, from the project's root.

# Their load is not for clusters in use.
need_local_broker() {
  if [[ ! ${BOOTSTRAP:-} =~ ^(127\.0\.0\.1|localhost|\[::1\]):[0-9]+$ ]]; then
    echo 'error: BOOTSTRAP has to be one broker on this machine' >&2
    echo '  help: tests/kafka.sh start' >&2
    exit 2
  fi
  export BOOTSTRAP
}

# Builds the program, unless another one is to be run, and leaves its path in LANEKEEPER.
need_lanekeeper() {
  [ -n "${LANEKEEPER:-}" ] || cargo build --locked --quiet --release
  export LANEKEEPER=${LANEKEEPER:-target/release/lanekeeper}
}

# Prints a scenario: KILLS kills of consumer 0, or of HIT, a kill every 300 ms, with RATE msg/s on each of PARTITIONS
# partitions. 50 ms without a failure count as stable, so that each restart is an immediate one.
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
