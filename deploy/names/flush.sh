#!/bin/sh
# Empties the site's cache.
exec rndc -s "$(getent hosts names | cut -d ' ' -f 1)" -k /keys/tsig.key -y pointsman flush
