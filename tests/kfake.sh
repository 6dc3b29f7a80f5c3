#!/usr/bin/env bash
# A cluster of kfake (franz-go's brokers for tests) on 127.0.0.1: a second implementation of Kafka's protocol, for the
# conformance tests. Built from tests/kfake with the pinned versions of its go.sum; all its data is in memory.
#
# Its process is ended by its recorded id only, after a check that the id is still ours.
set -euo pipefail

readonly READY_SECONDS_MAX=20
readonly STOP_SECONDS_MAX=10
readonly BROKERS=3
readonly EXIT_USAGE=2
readonly EXIT_ENVIRONMENT=3

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Absolute, because the process is recognised by the path of its program.
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

  LANEKEEPER_KFAKE_PORT   first port ($port_base); the next broker has one 10 higher
  LANEKEEPER_KFAKE_DIR    program and logs ($home)

exit codes: 0 done · 2 bad usage · 3 the environment is not as needed
USAGE
}

# fail MESSAGE REMEDY
fail() {
  printf 'error: %s\n' "$1" >&2
  printf '  help: %s\n' "$2" >&2
  exit "$EXIT_ENVIRONMENT"
}

bad_usage() {
  printf 'error: %s\n' "$1" >&2
  usage >&2
  exit "$EXIT_USAGE"
}

# Prints the process id when that process is still ours.
live_pid() {
  local pid arguments
  pid=$(cat "$home/pid" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  if [ -r "/proc/$pid/cmdline" ]; then
    arguments=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || return 1
  else
    arguments=$(ps -ww -o args= -p "$pid" 2>/dev/null) || return 1
  fi
  case $arguments in "$program "*) printf '%s' "$pid" ;; *) return 1 ;; esac
}

build() {
  command -v go >/dev/null 2>&1 || fail "there is no \`go\` to build kfake with" "install Go 1.21 or newer (Debian: apt-get install golang-go)"
  # An older Go fetches the one that go.mod names; Debian's does so only when it is told to.
  (cd "$root/tests/kfake" && GOTOOLCHAIN=auto GOWORK=off CGO_ENABLED=0 go build -buildvcs=false -mod=readonly -o "$program" .) ||
    fail "kfake could not be built" "read the messages above; is the Go module proxy reachable (\`go env GOPROXY\`)?"
}

start() {
  local broker ports=()
  if ! [[ $port_base =~ ^[1-9][0-9]{3,4}$ ]] || [ "$port_base" -lt 1024 ] || [ "$port_base" -gt 65500 ]; then
    bad_usage "LANEKEEPER_KFAKE_PORT is \`$port_base\`: a number from 1024 to 65500 is needed"
  fi
  if live_pid >/dev/null; then fail "kfake is already running in $home" "use it (tests/kfake.sh env), or end it first: tests/kfake.sh stop"; fi
  mkdir -p "$home"
  build
  for broker in $(seq 0 $((BROKERS - 1))); do ports+=($((port_base + 10 * broker))); done
  nohup "$program" "${ports[@]}" >"$home/out" 2>"$home/log" </dev/null &
  echo $! >"$home/pid"
  trap stop_broken EXIT
  SECONDS=0
  until grep -qs '^BOOTSTRAP=' "$home/out"; do
    live_pid >/dev/null || fail "kfake ended while starting: $(tail -n 2 "$home/log" | tr '\n' ' ')" "read $home/log; another port: LANEKEEPER_KFAKE_PORT"
    [ "$SECONDS" -lt "$READY_SECONDS_MAX" ] || fail "kfake was not ready after $READY_SECONDS_MAX s" "read $home/log"
    sleep 0.1
  done
  trap - EXIT
  cat "$home/out"
}

# A start that fails or is interrupted leaves no process.
stop_broken() {
  local code=$?
  stop
  exit "$code"
}

address() {
  live_pid >/dev/null || fail "no kfake is running in $home" "start it: tests/kfake.sh start"
  cat "$home/out"
}

stop() {
  local pid signal _
  for signal in TERM KILL; do
    pid=$(live_pid) || break
    kill "-$signal" "$pid" 2>/dev/null || true
    for _ in $(seq $((STOP_SECONDS_MAX * 10))); do
      live_pid >/dev/null || break 2
      sleep 0.1
    done
  done
  if pid=$(live_pid); then fail "kfake does not end: $pid" "end that process by hand"; fi
  rm -f "$home/pid" "$home/out"
}

[ $# -le 1 ] || bad_usage "one command is needed"
case ${1:-} in
  start) start ;;
  env) address ;;
  stop) stop ;;
  help | -h | --help) usage ;;
  '') bad_usage "no command" ;;
  *) bad_usage "there is no command \`$1\`" ;;
esac
