# shellcheck shell=bash
# What the benches share; sourced by them, from the project's root.

# Their load is not for clusters somebody else uses.
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
