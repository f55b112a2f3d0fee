# Shared by the scripts: where things are, how they speak.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
venv=$cache/venv

step() { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root: directly, or by sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing packages needs root: run this as root, or install sudo"
    fi
}

# Installs those of the given Debian packages that are missing.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null ||
        fail "this system has no apt-get; install the counterparts of: ${missing[*]}"
    step "installing ${missing[*]}"
    as_root apt-get update -qq
    # Services of packages must not be started: only their programs are wanted.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A Rust compiler, new enough.
need_rust() {
    export PATH=$HOME/.cargo/bin:$PATH
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    if ! command -v cargo >/dev/null; then
        step "installing Rust by rustup"
        need_packages ca-certificates curl
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile minimal \
            -c clippy -c rustfmt || fail "rustup failed; install Rust $wanted from https://rustup.rs"
    fi
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" = "$wanted" ] ||
        fail "Rust $have is too old: run 'rustup update stable' for $wanted or later"
}

# A program of the Rust ecosystem: need_cargo_tool PROGRAM CRATE.
need_cargo_tool() {
    command -v "$1" >/dev/null && return
    step "building $2"
    cargo install --locked --quiet "$2"
}
