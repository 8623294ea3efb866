#!/bin/bash
# Name servers of a place. The witness's takes signed updates; a site's own follows it, and beside it, on port 5353,
# is the cache that the site's hosts ask.
set -eu

witness=10.57.3.4
key=/keys/tsig.key
folder=/var/cache/bind
cd "$folder"

common="pid-file none; session-keyfile none; dnssec-validation no; empty-zones-enable no; listen-on-v6 { none; };"
if [ "$PLACE" = witness ]; then
    [ -s "$key" ] || (umask 077 && tsig-keygen pointsman >"$key.new" && mv "$key.new" "$key")
    cat >zone.db <<ZONE
\$ORIGIN example.test.
\$TTL 60
@ IN SOA ns admin 1 2 1 86400 1
@ IN NS ns
ns IN A $witness
cfg-a 60 IN A 10.57.1.10
cfg-b 60 IN A 10.57.1.10
ZONE
    zone='type primary; file "zone.db"; update-policy { grant pointsman zonesub A AAAA; };
          also-notify { 10.57.1.4; 10.57.2.4; };'
else
    zone="type secondary; file \"zone.db\"; primaries { $witness key pointsman; };"
    cat >cache.conf <<CACHE
include "$key";
options {
  directory "$folder"; listen-on port 5353 { $ADDRESS; }; $common
  recursion yes; allow-recursion { any; }; max-ncache-ttl 1; forward only; forwarders { $ADDRESS; $witness; };
};
controls { inet * port 953 allow { any; } keys { pointsman; }; };
CACHE
    named -g -c "$folder/cache.conf" &
fi
cat >authority.conf <<AUTHORITY
include "$key";
options {
  directory "$folder"; listen-on port 53 { $ADDRESS; }; $common
  recursion no; notify explicit; notify-delay 0; notify-rate 1000; serial-query-rate 1000; notify-source $ADDRESS; transfer-source $ADDRESS;
  allow-notify { $witness; }; allow-transfer { key pointsman; }; min-refresh-time 1; min-retry-time 1;
};
controls { };
zone example.test { $zone };
AUTHORITY
named -g -c "$folder/authority.conf" &
wait -n # Whichever ends first ends the container.
