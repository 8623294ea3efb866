#!/bin/sh
# Starts a PostgreSQL server with the writers shut out before anybody can connect: for `boot: { closed: SCRIPT }` in a
# host's file. Pointsman calls it after a boot of the host, once, and looks afterwards whether it is true.
#
# The system's own start of the server has to be switched off: on Debian, `manual` in
# /etc/postgresql/15/main/start.conf. Copy this file, and write your own server into the next lines.
set -eu
data=${PGDATA:-/var/lib/postgresql/15/main}
bin=${PGBIN:-/usr/lib/postgresql/15/bin}
config=${PGCONFIG:-} # -c config_file=…, where it is not in the data folder: on Debian it is not
start=${START:-pg_ctlcluster 15 main start}

# Single-user mode opens no socket, and recovers from a crash first. It runs as the owner of the data.
owner=$(stat -c %U "$data")
as_owner() {
    if [ "$(id -un)" = "$owner" ]; then "$@"; else setpriv --reuid="$owner" --regid="$owner" --init-groups -- "$@"; fi
}
close() {
    for role in $POINTSMAN_WRITERS; do
        printf 'ALTER ROLE "%s" NOLOGIN;\n\n' "$role"
    done
}

# A server that was just killed may still be in the way for a moment.
for try in 1 2 3 4 5; do
    # shellcheck disable=SC2086 # options, several words
    if said=$(close | as_owner "$bin/postgres" --single -j -D "$data" $config postgres 2>&1); then break; fi
    [ "$try" -lt 5 ] || { echo "$said" >&2; exit 1; }
    sleep 1
done
# It ends with 0 also when a statement failed.
case $said in *ERROR:* | *FATAL:*) echo "$said" >&2; exit 1 ;; esac
exec $start
