#!/usr/bin/env bash
# Swaps two portraits that are set in motion, from nothing but Python >= 3.11 and a package index.
#   bash scripts/demo.sh [WORKSPACE] [options of `faceswap-cli demo`]
# WORKSPACE is faceswap-demo in the current folder if it is not given. Run it again to go on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"

workspace=faceswap-demo
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    workspace="$1"
    shift
fi
setup_venv ""
"$VENV/bin/faceswap-cli" demo "$workspace" "$@"
echo
echo "The swapped video:  $workspace/result.mp4"
echo "Before and after:   $workspace/before_after.png"
