#!/bin/bash
# The first day, by the product's own commands; docs of each: README, "An afternoon's installation". Then it exits.
# Run a second time, as by another `up`, it sees that it was done and changes nothing.
set -eu -o pipefail
export PGUSER=postgres PGOPTIONS="-c client_min_messages=warning" PGCONNECT_TIMEOUT=5

db() { [ "$1" = main ] && echo 10.57.1.3 || echo 10.57.2.3; }
sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "$(db "$1")" --dbname "$2"; }
# Tries again for some minutes: what is asked may not be up yet.
soon() {
    for _ in $(seq 120); do
        if said=$("$@" 2>&1); then return 0; fi
        sleep 1
    done
    echo "setup: in vain: $*: $said" >&2
    echo "setup: \`down -v\`, then \`up\` again, begins anew" >&2
    return 1
}

if pointsman runs cfg --limit 1 --output json | grep -q '"id"'; then
    echo "setup: done before"
    exit 0
fi

for site in main secondary; do
    echo "setup: tables at $site, closed, and Pointsman's own"
    lab-standin sql roles --site "$site" | sql "$site" postgres
    for database in config log; do
        echo "CREATE DATABASE $database" | sql "$site" postgres
        lab-standin sql "$database" --site "$site" | sql "$site" "$database"
        pointsman --config "/deploy/$site/host.yaml" setup postgres --print --database "$database" | sql "$site" "$database" >/dev/null
    done
    echo "ALTER ROLE cfg_db NOLOGIN;
          REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM cfg_db" | sql "$site" config
done

echo "setup: adopt, with no site live"
soon pointsman adopt cfg --none-live --yes --why "the first day"
echo "setup: establish at main"
soon pointsman establish cfg --to main --yes --detach --why "the first day"
normal() { pointsman status cfg | tee /tmp/status | grep -q "main is live, protected" && grep -q "WITHIN LIMIT" /tmp/status; }
soon normal
cat /tmp/status
