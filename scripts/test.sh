#!/usr/bin/env bash
# Runs the tests, from nothing but Python >= 3.11 and a package index.
#   bash scripts/test.sh [arguments of pytest]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"

setup_venv dev
cd "$REPO_ROOT"
# One thread of torch for each worker: workers of many threads would only wait for each other. One
# worker more than the two cores it is meant for: some tests wait for processes of their own.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$VENV/bin/python" -m pytest -n "${PYTEST_WORKERS:-3}" --dist worksteal "$@"
