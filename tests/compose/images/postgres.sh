#!/usr/bin/env bash
# Entry point of the stand-in for postgres:17. It keeps those customs of the official image that our
# docker-compose.yml relies on: PGDATA, POSTGRES_HOST_AUTH_METHOD, and words that begin with `-` are the server's.
set -euo pipefail

case "${1:-postgres}" in
    -*) set -- postgres "$@" ;;
    postgres) ;;
    *) exec "$@" ;;
esac
mkdir -p "$PGDATA" /var/run/postgresql
chown -R postgres:postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    as_postgres initdb --username=postgres --auth-local=trust --auth-host=trust --encoding=UTF8 >/dev/null
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
