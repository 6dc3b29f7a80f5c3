# shellcheck shell=bash
# Starts, recognises and ends the processes of a test cluster on this machine. `tests/kafka.sh` and `tests/kfake.sh`
# source this file.
#
# A script that sources it defines `usage`, `stop`, `live_pids` (prints the ids of the script's running processes), and
# for `await_ready` three functions that get its ARGUMENT: `is_ready`, `live_pid` (prints the id of that process, or
# fails), and `last_line` (prints the end of its log for an error message).

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

# At most 65500: the second and third broker take ports above the first.
is_port() { [[ $1 =~ ^[1-9][0-9]{3,4}$ ]] && [ "$1" -ge 1024 ] && [ "$1" -le 65500 ]; }

# recorded_pid FILE IS_OURS…: prints the process id in FILE if the process still is the script's own. The command
# IS_OURS decides that; its last argument is the command line of the process. Without the check the id may name another
# process, because the system reuses ids.
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

# await_ready NAME SECONDS_MAX [ARGUMENT]: waits until `is_ready` succeeds. If the process ends before, or SECONDS
# reaches SECONDS_MAX, it fails with a message in $trouble. The script sets SECONDS to 0 before it starts the first
# process, so that several processes share one limit.
await_ready() {
  until is_ready "${@:3}"; do
    # Also before the first `live_pid`: at first the process still has the command line of this shell, then of `nohup`.
    sleep 0.1
    if ! live_pid "${@:3}" >/dev/null; then
      trouble="$1 ended while starting: $(last_line "${@:3}")"
      return 1
    fi
    if [ "$SECONDS" -ge "$2" ]; then
      # shellcheck disable=SC2034 # the script reads it
      trouble="$1 was not ready after $2 s: $(last_line "${@:3}")"
      return 1
    fi
  done
}

# The EXIT trap of `start`: a start that fails or is interrupted leaves no process behind.
stop_broken() {
  local code=$?
  stop
  exit "$code"
}

# signal_all SIGNAL: sends SIGNAL to each of the script's running processes.
signal_all() {
  local pid
  for pid in $(live_pids); do
    kill "-$1" "$pid" 2>/dev/null || true
    # A process that SIGSTOP has stopped handles SIGTERM only after SIGCONT.
    kill -CONT "$pid" 2>/dev/null || true
  done
}

# Waits at most $STOP_SECONDS_MAX seconds until no process is left, and fails if one is.
await_gone() {
  local _
  for _ in $(seq $((STOP_SECONDS_MAX * 10))); do
    [ -n "$(live_pids)" ] || return 0
    sleep 0.1
  done
  [ -z "$(live_pids)" ]
}

# end_all NAME: sends SIGTERM, waits, and sends SIGKILL to the processes that are left.
end_all() {
  signal_all TERM
  # `return 0`, because in a trap a `return` without a number returns the status from before the trap.
  await_gone && return 0
  signal_all KILL
  await_gone || fail "$1 does not end: $(live_pids | tr '\n' ' ')" "end that process by hand"
}
