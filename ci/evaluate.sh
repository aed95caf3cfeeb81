#!/usr/bin/env bash
# Last step of the action: asks `orch evaluate` about the change and hands its answer on.
#
# Every value comes by environment and is passed as one argument: nothing here is evaluated by a shell. What orch says on stderr
# is shown with GitHub's commands switched off; only the annotations, which orch has escaped, are shown with them on.
#
# Reads: INPUT_PACKS, INPUT_POINT, INPUT_MODE, INPUT_FORMATS, INPUT_BASE, INPUT_DIRECTORY, INPUT_PYTHON, RUNNER_TEMP, GITHUB_*.
# ORCH_COMMAND names an orch that is installed already (self-hosted runners, tests).
set -euf -o pipefail
umask 077

fail() {
  printf '::error title=orch::%s\n' "$1"
  printf 'exit-code=2\n' >>"$GITHUB_OUTPUT"
  exit 2
}

export PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=${INPUT_PYTHON:-python3}
if [ -n "${ORCH_COMMAND:-}" ]; then
  orch=("$ORCH_COMMAND")
else
  orch=("$RUNNER_TEMP/orch/venv/bin/python" -I "$RUNNER_TEMP/orch/venv/bin/orch")
fi

# Reports lie outside the workspace, where no file of the change can stand in their place.
reports=$(mktemp -d "$RUNNER_TEMP/orch-reports.XXXXXX")
# A cache of this step's own and no sidecar: no earlier job of the same runner can have left anything in them.
private=$(mktemp -d /tmp/orch.XXXXXX)
trap 'rm -rf -- "$private"' EXIT
mkdir -- "$private/run" "$private/cache"
export XDG_RUNTIME_DIR="$private/run" XDG_CACHE_HOME="$private/cache"

arguments=(evaluate --one-shot "--point=${INPUT_POINT:-ci}" "--output=github=$reports/github" "--output=json=$reports/json")
case ${INPUT_MODE:-as-packs-say} in
  as-packs-say) ;;
  warn-only) arguments+=(--warn-only) ;;
  enforce) arguments+=(--enforce) ;;
  *) fail "the input mode must be warn-only, as-packs-say or enforce" ;;
esac

sarif='' junit=''
for format in ${INPUT_FORMATS:-github}; do
  case $format in
    github) ;;
    sarif) sarif=$reports/orch.sarif arguments+=("--output=sarif=$reports/orch.sarif") ;;
    junit) junit=$reports/orch.xml arguments+=("--output=junit=$reports/orch.xml") ;;
    *) fail "the input formats may name github, sarif and junit" ;;
  esac
done

while IFS= read -r line || [ -n "$line" ]; do
  line=${line#"${line%%[![:space:]]*}"}
  line=${line%"${line##*[![:space:]]}"}
  if [ -n "$line" ]; then arguments+=("--packs=$line"); fi
done <<<"${INPUT_PACKS:-}"

if [ -n "${INPUT_BASE:-}" ]; then arguments+=("--from-git=$INPUT_BASE..HEAD"); fi

cd -- "$GITHUB_WORKSPACE/${INPUT_DIRECTORY:-.}" || fail "the input directory names no folder of the workspace"

# In a container job the checkout belongs to another user than the one who runs this; the job named it, so git may trust it.
count=${GIT_CONFIG_COUNT:-0}
case $count in *[!0-9]*) fail "GIT_CONFIG_COUNT is no number" ;; esac
export GIT_CONFIG_COUNT=$((count + 1)) "GIT_CONFIG_KEY_$count=safe.directory" "GIT_CONFIG_VALUE_$count=$(pwd -P)"

pause=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '::stop-commands::%s\n' "$pause"
status=0
"${orch[@]}" "${arguments[@]}" 2>&1 || status=$?
printf '\n::%s::\n' "$pause"
if [ -s "$reports/github" ]; then cat -- "$reports/github"; fi

"$python" -I "$here/outputs.py" "$status" "$reports/json" "$sarif" "$junit" >>"$GITHUB_OUTPUT"
exit "$status"
