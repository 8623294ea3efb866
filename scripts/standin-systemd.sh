#!/usr/bin/env bash
# Makes the image in which the systemd driver is tested: Debian with systemd and dbus as its first process.
# A stand-in for a host, for tests only. Quick when the image is there; else it takes a minute or two, and
# needs root for mmdebstrap, which it installs on Debian and Ubuntu when it is missing.
set -euo pipefail

tag=pointsman-test/systemd:1
suite=bookworm

if ! docker info >/dev/null 2>&1; then
    echo "standin-systemd.sh: no docker daemon answers" >&2
    exit 3
fi
if docker image inspect "$tag" >/dev/null 2>&1; then
    exit 0
fi

exec 9>"${TMPDIR:-/tmp}/pointsman-standin-systemd.lock"
flock 9
if docker image inspect "$tag" >/dev/null 2>&1; then
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    echo "standin-systemd.sh: the image $tag is missing and making it needs root" >&2
    exit 3
fi
if ! command -v mmdebstrap >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "standin-systemd.sh: mmdebstrap is missing; install it and run this again" >&2
        exit 3
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends mmdebstrap >/dev/null
fi

# The host's own mirrors; the image keeps none of its configuration.
sources=/etc/apt/sources.list.d/debian.sources
[ -e "$sources" ] || sources=/etc/apt/sources.list
TMPDIR="${STANDIN_TMPDIR:-${TMPDIR:-/tmp}}" mmdebstrap --variant=minbase --mode=root --format=tar --quiet \
    --include=systemd,systemd-sysv,dbus \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/etc/apt/sources.list.d/*' \
    "$suite" - "$sources" |
    docker import --change 'CMD ["/sbin/init"]' --change 'ENV container=docker' - "$tag" >/dev/null
