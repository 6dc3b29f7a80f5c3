#!/usr/bin/env bash
# Runs one scenario in a CI job and keeps everything that helps to read its result. The action beside it calls this; any
# other CI can do the same:
#
#   LANEKEEPER_SCENARIO=load.toml ci/run.sh
#
# Settings are variables of the environment:
#   LANEKEEPER_SCENARIO       the scenario file
#   LANEKEEPER_RESULTS        directory for results (default: lanekeeper-results)
#   LANEKEEPER_BROKER         embedded, sim or kafka (default: kafka with LANEKEEPER_BOOTSTRAP, embedded without)
#   LANEKEEPER_BOOTSTRAP      addresses of a cluster
#   LANEKEEPER_RETRY_INVALID  how often an INVALID run is repeated (default: 2)
#   LANEKEEPER_ON_INVALID     fail or warn: what a run means that stays INVALID (default: fail)
#   LANEKEEPER_ARGUMENTS      further arguments of `run`, separated by blanks
#   LANEKEEPER                the program (default: lanekeeper)
#
# Exit codes are those of `lanekeeper run`; with `warn`, 4 becomes 0.
set -euo pipefail

readonly EXIT_INPUT=2 EXIT_INVALID=4

scenario=${LANEKEEPER_SCENARIO:?set LANEKEEPER_SCENARIO to a scenario file}
results=${LANEKEEPER_RESULTS:-lanekeeper-results}
on_invalid=${LANEKEEPER_ON_INVALID:-fail}
case $on_invalid in
  fail | warn) ;;
  *)
    printf 'error: LANEKEEPER_ON_INVALID is `fail` or `warn`, not `%s`\n' "$on_invalid" >&2
    exit "$EXIT_INPUT"
    ;;
esac

arguments=(
  "$scenario" --out "$results/run" --live plain --retry-invalid "${LANEKEEPER_RETRY_INVALID:-2}"
  --junit "$results/junit.xml" --html "$results/page.html" --csv "$results/seconds.csv"
)
[ -z "${LANEKEEPER_BROKER:-}" ] || arguments+=(--broker "$LANEKEEPER_BROKER")
[ -z "${LANEKEEPER_BOOTSTRAP:-}" ] || arguments+=(--bootstrap "$LANEKEEPER_BOOTSTRAP")
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || arguments+=(--summary-md "$GITHUB_STEP_SUMMARY")
read -r -a further <<<"${LANEKEEPER_ARGUMENTS:-}"

mkdir -p "$results"
code=0
"${LANEKEEPER:-lanekeeper}" run "${arguments[@]}" "${further[@]}" || code=$?
if [ "$code" -eq "$EXIT_INVALID" ] && [ "$on_invalid" = warn ]; then
  message='the run is INVALID: this machine could not measure it, so nothing is known about the scenario'
  if [ "${GITHUB_ACTIONS:-}" = true ]; then
    printf '::warning title=lanekeeper::%s\n' "$message"
  else
    printf 'warning: %s\n' "$message" >&2
  fi
  code=0
fi
exit "$code"
