#!/usr/bin/env bash
# A cluster of kfake (franz-go's brokers for tests) on 127.0.0.1: a second implementation of Kafka's protocol, for the
# conformance tests. It is built from tests/kfake with the versions that go.mod and go.sum pin, and keeps all data in
# memory.
#
# Only the process with the recorded id is ended, after a check that the id still is that of this kfake.
set -euo pipefail

readonly READY_SECONDS_MAX=20
readonly BROKERS=3

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/lib/processes.sh
. "$root/tests/lib/processes.sh"
# Absolute, because `is_kfake` recognises the process by the path of its program.
home=${LANEKEEPER_KFAKE_DIR:-$root/.kfake}
case $home in /*) ;; *) home=$root/$home ;; esac
port_base=${LANEKEEPER_KFAKE_PORT:-19392}
program=$home/kfake

usage() {
  cat <<USAGE
usage: tests/kfake.sh COMMAND

  start   build and start $BROKERS brokers, print BOOTSTRAP=host:port,… when ready
  env     print BOOTSTRAP=… of the running cluster
  stop    end it
  read BOOTSTRAP TOPIC PARTITIONS
          read a topic of any cluster with franz-go's client, and check the stamps of its records

  LANEKEEPER_KFAKE_PORT   first port ($port_base); the next broker has one 10 higher
  LANEKEEPER_KFAKE_DIR    program and logs ($home)

exit codes: 0 done · 2 bad usage · 3 the environment is not as needed
USAGE
}

is_kfake() { [[ $1 == "$program "* ]]; }

# Prints the id of the running kfake; fails if there is none.
live_pid() { recorded_pid "$home/pid" is_kfake; }

live_pids() { live_pid || true; }

is_ready() { grep -qs '^BOOTSTRAP=' "$home/out"; }

last_line() { tail -n 2 "$home/log" | tr '\n' ' '; }

# build PROGRAM PACKAGE: builds the Go package PACKAGE of tests/kfake into the file PROGRAM.
build() {
  command -v go >/dev/null 2>&1 || fail "there is no \`go\` to build kfake with" "install Go 1.21 or newer (Debian: apt-get install golang-go)"
  # GOTOOLCHAIN=auto: a Go that is older than go.mod asks for fetches that version. Debian's Go does so only if told to.
  (cd "$root/tests/kfake" && GOTOOLCHAIN=auto GOWORK=off CGO_ENABLED=0 go build -buildvcs=false -mod=readonly -o "$1" "$2") ||
    fail "kfake could not be built" "read the messages above; is the Go module proxy reachable (\`go env GOPROXY\`)?"
}

start() {
  local broker ports=()
  is_port "$port_base" || bad_usage "LANEKEEPER_KFAKE_PORT is \`$port_base\`: a number from 1024 to 65500 is needed"
  if live_pid >/dev/null; then fail "kfake is already running in $home" "use it (tests/kfake.sh env), or end it first: tests/kfake.sh stop"; fi
  mkdir -p "$home"
  build "$program" .
  for broker in $(seq 0 $((BROKERS - 1))); do ports+=($((port_base + 10 * broker))); done
  nohup "$program" "${ports[@]}" >"$home/out" 2>"$home/log" </dev/null &
  echo $! >"$home/pid"
  trap stop_broken EXIT
  SECONDS=0
  await_ready kfake "$READY_SECONDS_MAX" || fail "$trouble" "read $home/log; another port: LANEKEEPER_KFAKE_PORT"
  trap - EXIT
  cat "$home/out"
}

address() {
  live_pid >/dev/null || fail "no kfake is running in $home" "start it: tests/kfake.sh start"
  cat "$home/out"
}

stop() {
  end_all kfake
  rm -f "$home/pid" "$home/out"
}

# read_topic BOOTSTRAP TOPIC PARTITIONS
read_topic() {
  [ $# -eq 3 ] || bad_usage "\`read\` needs a bootstrap address, a topic and its number of partitions"
  mkdir -p "$home"
  build "$home/reader" ./reader
  exec "$home/reader" "$@"
}

[ $# -le 1 ] || [ "$1" = read ] || bad_usage "one command is needed"
case ${1:-} in
  start) start ;;
  env) address ;;
  stop) stop ;;
  read) read_topic "${@:2}" ;;
  help | -h | --help) usage ;;
  '') bad_usage "no command" ;;
  *) bad_usage "there is no command \`$1\`" ;;
esac
