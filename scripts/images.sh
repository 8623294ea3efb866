#!/usr/bin/env bash
# Makes the images on which the tests run docker-compose.yml: stand-ins, since the official ones may not be had.
#   pointsman-test/nats      for nats:2.11-alpine  the server that scripts/install.sh brought, and the wget of busybox
#   pointsman-test/postgres  for postgres:17       Debian's PostgreSQL 17 behind an entry point like the official one's
#   pointsman-test/base      for the last stage of the Dockerfile without our programs, which a test copies in
# Quick when they are there; else some minutes, as root. Needs docker, and Debian 12 or newer for its packages.
# Exit 3: no docker daemon answers, so there is nothing to make. Every other failure is one.
set -euo pipefail
cd "$(dirname "$0")/.."

edition=1
nats=pointsman-test/nats:2
postgres=pointsman-test/postgres:$edition
base=pointsman-test/base:$edition

if ! docker info >/dev/null 2>&1; then
    echo "images.sh: no docker daemon answers" >&2
    exit 3
fi
has() { docker image inspect "$1" >/dev/null 2>&1; }
all() { has "$nats" && has "$postgres" && has "$base"; }
all && exit 0
exec 9>"${TMPDIR:-/tmp}/pointsman-images.lock"
flock 9
all && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "images.sh: images are missing and making them needs root" >&2
    exit 1
fi
if ! command -v mmdebstrap >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends mmdebstrap >/dev/null
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The host's own mirrors, for another release of Debian where one is named.
sources() {
    local from=/etc/apt/sources.list.d/debian.sources
    [ -e "$from" ] || from=/etc/apt/sources.list
    sed "s/$codename/$1/g" "$from" >"$work/$1.${from##*.}"
    echo "$work/$1.${from##*.}"
}

# A small Debian with these packages as an image: RELEASE TAG PACKAGES [words of docker import].
debian() {
    local release=$1 tag=$2 packages=$3
    shift 3
    echo "images.sh: $tag"
    mmdebstrap --variant=minbase --mode=root --format=tar --quiet --include="$packages" \
        --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/etc/apt/sources.list.d/*' \
        --customize-hook='rm -rf "$1"/var/lib/postgresql/*' \
        "$release" - "$(sources "$release")" |
        docker import "$@" - "$tag" >/dev/null
}

codename="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"
if ! has "$nats"; then
    echo "images.sh: $nats"
    mkdir -p "$work/nats/bin" "$work/busybox"
    cp "${XDG_CACHE_HOME:-$HOME/.cache}"/pointsman/nats-server-* "$work/nats/nats-server"
    apt-get -qq update
    (cd "$work/busybox" && apt-get -qq -o APT::Sandbox::User=root download busybox-static && dpkg-deb -x ./*.deb .)
    cp "$(find "$work/busybox" -type f -path '*/bin/busybox')" "$work/nats/bin/busybox"
    ln -s busybox "$work/nats/bin/wget"
    tar -C "$work/nats" -c . | docker import --change 'ENTRYPOINT ["/nats-server"]' - "$nats" >/dev/null
fi
if ! has "$base"; then
    debian "$codename" "$base" bind9,bind9-utils,bind9-dnsutils,nftables,postgresql-client --change 'CMD ["bash"]'
fi
if ! has "$postgres"; then
    has "$postgres-debian" || debian trixie "$postgres-debian" postgresql-17
    cp tests/compose/images/postgres.sh "$work/"
    docker build --quiet --tag "$postgres" --file - "$work" >/dev/null <<DOCKERFILE
FROM $postgres-debian
COPY postgres.sh /usr/local/bin/
ENV PGDATA=/var/lib/postgresql/data PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/postgres.sh"]
CMD ["postgres"]
DOCKERFILE
fi
