# shellcheck shell=bash
# Clusters that a script starts on this machine, recognises and ends. It is sourced by `tests/kafka.sh` and `tests/kfake.sh`.
#
# The script has these functions: `usage`; `stop`; `live_pids`, which prints the ids of all its processes that live; and
# for `await_ready`, with the arguments of that: `is_ready`, `live_pid`, and `last_line` for what its log says last.

readonly EXIT_USAGE=2
readonly EXIT_ENVIRONMENT=3
readonly STOP_SECONDS_MAX=10

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

# Room is left above for the ports of three brokers.
is_port() { [[ $1 =~ ^[1-9][0-9]{3,4}$ ]] && [ "$1" -ge 1024 ] && [ "$1" -le 65500 ]; }

# recorded_pid FILE IS_OURS…: prints the process id in FILE when the command IS_OURS says so of that process's arguments,
# which it gets as one more word. The system may have given the id to another process.
recorded_pid() {
  local pid arguments
  pid=$(cat "$1" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  if [ -r "/proc/$pid/cmdline" ]; then
    arguments=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || return 1
  else
    arguments=$(ps -ww -o args= -p "$pid" 2>/dev/null) || return 1
  fi
  "${@:2}" "$arguments" && printf '%s\n' "$pid"
}

# await_ready NAME SECONDS_MAX [ARGUMENT]: leaves a message in $trouble when the process does not become ready. The
# script sets SECONDS to 0 when it starts the first of several.
await_ready() {
  until is_ready "${@:3}"; do
    # Before the look at the process as well: for a moment it is this shell, then `nohup`.
    sleep 0.1
    if ! live_pid "${@:3}" >/dev/null; then
      trouble="$1 ended while starting: $(last_line "${@:3}")"
      return 1
    fi
    if [ "$SECONDS" -ge "$2" ]; then
      # shellcheck disable=SC2034 # for the script
      trouble="$1 was not ready after $2 s: $(last_line "${@:3}")"
      return 1
    fi
  done
}

# The trap of a start: one that fails or is interrupted leaves no process.
stop_broken() {
  local code=$?
  stop
  exit "$code"
}

# signal_all SIGNAL
signal_all() {
  local pid
  for pid in $(live_pids); do
    kill "-$1" "$pid" 2>/dev/null || true
    # One that stands still would not hear of it.
    kill -CONT "$pid" 2>/dev/null || true
  done
}

# Waits until no process is left, at most $STOP_SECONDS_MAX.
await_gone() {
  local _
  for _ in $(seq $((STOP_SECONDS_MAX * 10))); do
    [ -n "$(live_pids)" ] || return 0
    sleep 0.1
  done
  [ -z "$(live_pids)" ]
}

# end_all NAME: asks, waits, then insists.
end_all() {
  signal_all TERM
  # With its number: in the trap a bare `return` would give the code of the script.
  await_gone && return 0
  signal_all KILL
  await_gone || fail "$1 does not end: $(live_pids | tr '\n' ' ')" "end that process by hand"
}
