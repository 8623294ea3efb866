#!/bin/sh
# A site's host, as it boots: what runs at both sites starts by itself, what runs at the live site does not, and
# `pointsman serve` waits for requests.
set -eu

# What Pointsman needs to know of the databases: the site's own, and the other's as a subscription sees it.
other_db=10.57.2.3
[ "$PLACE" = main ] || other_db=10.57.1.3
umask 077
mkdir -p /run/pointsman
echo "PLACE=$PLACE ADDRESS=$ADDRESS" >/run/pointsman/place # Pointsman runs scripts in an empty environment.
for database in config log; do
    echo "host=db user=pointsman dbname=$database" >"/run/pointsman/$database.dsn"
    echo "host=$other_db user=replicator dbname=$database" >"/run/pointsman/$database-peer.dsn"
done

# Each program has a script to start it, one to stop it, and one that checks.
for part in scs-msg cs-primary cs-backup master-scs resolver site-scs log-msg proxy-a proxy-b; do
    mkdir -p "/parts/$part"
    for verb in start stop check; do ln -sf /deploy/part.sh "/parts/$part/$verb"; done
done
for part in resolver site-scs log-msg proxy-a proxy-b; do "/parts/$part/start"; done

pointsman arm
exec pointsman serve
