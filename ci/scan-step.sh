#!/usr/bin/env bash
# The step of the composite action: reads its inputs from the environment (see action.yml), scans, sets the
# output exit-code, and fails as the exit codes say.
set -uo pipefail

lines() { # one item a line, without empty ones
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    [[ -n $line ]] && printf '%s\0' "$line"
  done <<<"$1"
}

paths=() options=()
while IFS= read -r -d '' item; do paths+=("$item"); done < <(lines "$GATE_PATHS")
while IFS= read -r -d '' item; do options+=("$item"); done < <(lines "$GATE_OPTIONS")

"$DEEPSCAN_BIN" scan --fail-on "$GATE_FAIL_ON" --json --output "$GATE_REPORT" --no-progress \
  ${options[@]+"${options[@]}"} -- "${paths[@]}"
code=$?

[[ -n ${GITHUB_OUTPUT:-} ]] && printf 'exit-code=%s\n' "$code" >>"$GITHUB_OUTPUT"
case $code in
  1) echo "::error::deepscan: at least one file is flagged; the report is $GATE_REPORT" ;;
  3) echo "::warning::deepscan: something could not be fully scanned; the report is $GATE_REPORT" ;;
esac
[[ $code == 3 && $GATE_UNSCANNED == pass ]] && exit 0
exit "$code"
