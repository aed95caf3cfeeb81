#!/usr/bin/env bash
# Second step of the action, only where the cache had nothing: builds the wheel of `orch`, with its OPA, from the action's own
# checkout, and fetches the wheels it needs. Everything that is downloaded is held to a hash in requirements/ or opa/go.sum.
# Nothing of the job's workspace is read.
#
# Reads: GITHUB_ACTION_PATH, RUNNER_TEMP, INPUT_PYTHON.
set -euo pipefail

wheels=$RUNNER_TEMP/orch/wheels
build=$RUNNER_TEMP/orch/build
locks=$GITHUB_ACTION_PATH/requirements
python=${INPUT_PYTHON:-python3}
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP

rm -rf -- "$build" "$wheels"
mkdir -p -- "$build" "$wheels"
cd -- "$build"
"$python" -I -m venv venv
pip() {
  venv/bin/python -I -m pip --disable-pip-version-check --quiet "$@"
}

pip install --require-hashes --only-binary :all: --requirement "$locks/build.txt"
if ! venv/bin/python -I "$GITHUB_ACTION_PATH/opa/build_hook.py"; then
  pip install --require-hashes --only-binary :all: --requirement "$locks/go.txt"
fi
pip download --require-hashes --only-binary :all: --dest "$wheels" --requirement "$locks/run.txt"
pip wheel --no-build-isolation --no-deps --wheel-dir "$wheels" "$GITHUB_ACTION_PATH"
cd -- "$RUNNER_TEMP"
rm -rf -- "$build"
