#!/usr/bin/env bash
# Third step of the action: puts the wheels into a virtual environment of its own, without network. The job's Python stays as it is.
#
# Reads: GITHUB_ACTION_PATH, RUNNER_TEMP, INPUT_PYTHON.
set -euo pipefail

lock=$GITHUB_ACTION_PATH/requirements/run.txt
wheels=$RUNNER_TEMP/orch/wheels
venv=$RUNNER_TEMP/orch/venv
python=${INPUT_PYTHON:-python3}
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP

cd -- "$RUNNER_TEMP"
"$python" -I -m venv --clear "$venv"
pip=("$venv/bin/python" -I -m pip --disable-pip-version-check --quiet install --no-index)
"${pip[@]}" --find-links "$wheels" --require-hashes --requirement "$lock"
"${pip[@]}" --no-deps "$wheels"/orch_policy-*.whl
"$venv/bin/python" -I "$venv/bin/orch" --version
