#!/bin/sh
# Prints what this host resolves a name to, and whom its proxies are connected to by that name.
. /run/pointsman/place
exec lab-standin resolved --resolver "$ADDRESS:7053" --proxy "$ADDRESS:7041" --proxy "$ADDRESS:7042" "$1"
