# Sourced by the other scripts: makes .venv in the root of the repository and installs into it.
#   setup_venv ""      the package itself
#   setup_venv dev     editable, with what the tests need
# Needs Python >= 3.11 and a package index; uses uv where it is there. Quick the second time.

REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$REPO_ROOT/.venv"

find_python() {
    local name
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return 0
        fi
    done
    echo "Error: no Python 3.11 or newer was found" >&2
    echo "fix: install one (python3.11 to python3.14 are looked for on the PATH)" >&2
    return 2
}

make_venv() {
    local python
    if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c '' >/dev/null 2>&1; then
        return 0
    fi
    python="$(find_python)" || return
    if has_uv; then
        uv venv --quiet --clear --python "$python" "$VENV"
    elif ! "$python" -m venv --clear "$VENV"; then
        echo "Error: $python cannot make a virtual environment" >&2
        echo "fix: install its venv module (on Debian: apt-get install python3-venv), or uv" >&2
        return 2
    fi
}

has_uv() {
    command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1
}

install_into_venv() {
    if has_uv; then
        uv pip install --quiet --python "$VENV/bin/python" "$@"
        return
    fi
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$VENV/bin/python" -m ensurepip >/dev/null
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# What decides the installation: run again when one of these has changed.
wanted_state() {
    local extra="$1"
    { echo "$extra"; cat "$REPO_ROOT/pyproject.toml"; [ -n "$extra" ] || source_state; } |
        cksum
}

# An installation that is not editable is a copy: any change of the source makes it stale.
source_state() {
    find "$REPO_ROOT/faceswap_cli" "$REPO_ROOT/configs" "$REPO_ROOT/workspace_template" \
        -type f -not -name '*.pyc' -exec cksum {} + | sort
}

setup_venv() {
    local extra="${1:-}" stamp="$VENV/.installed" dev_stamp="$VENV/.installed-dev"
    make_venv || return
    # The editable installation of the tests also serves the demo.
    if [ -f "$dev_stamp" ] && [ "$(cat "$dev_stamp")" = "$(wanted_state dev)" ]; then
        return 0
    fi
    if [ -z "$extra" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted_state "")" ]; then
        return 0
    fi
    echo "installing faceswap-cli into $VENV (the first time takes a few minutes)" >&2
    rm -f "$stamp" "$dev_stamp"
    if [ "$extra" = dev ]; then
        install_into_venv -e "$REPO_ROOT[dev]" || return
        wanted_state dev >"$dev_stamp"
    else
        install_into_venv --force-reinstall --no-deps "$REPO_ROOT" || return
        install_into_venv "$REPO_ROOT" || return
        wanted_state "" >"$stamp"
    fi
}
