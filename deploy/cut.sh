#!/bin/sh
# Cuts the wide area between places, or heals it. Packets are dropped in silence, as on a line that is down; inside a
# place everything goes on. What is cut stays so over a kill and start of processes, not over that of a container.
#
#   deploy/cut.sh main                 main from both others
#   deploy/cut.sh main secondary       the link between these two; the witness sees both
#   deploy/cut.sh --one-way main       main hears the others, and nothing that it says gets out
#   deploy/cut.sh heal                 all is as before
#
# COMPOSE_PROJECT_NAME names the project; without it, it is the name of this folder's parent, as compose has it. It
# needs docker alone: the rules are set from a container beside each of the place's, which may change its network.
set -eu

image=${POINTSMAN_IMAGE:-pointsman/lab:dev}
project=${COMPOSE_PROJECT_NAME:-$(basename "$(cd "$(dirname "$0")/.." && pwd)" | tr 'A-Z' 'a-z' | tr -cd 'a-z0-9_-')}

usage() { sed -n '5,8s/^# *//p' "$0" >&2; exit 2; }

network() {
    case $1 in
    main) echo 10.57.1.0/24 ;;
    secondary) echo 10.57.2.0/24 ;;
    witness) echo 10.57.3.0/24 ;;
    *) usage ;;
    esac
}

# Runs nft with these words in the network of each running container of a place, all at once.
nft() {
    place=$1
    shift
    found=$(docker ps --filter "label=com.docker.compose.project=$project" \
        --format '{{.ID}} {{.Label "com.docker.compose.service"}}' | grep -E " $place(-|\$)" | cut -d ' ' -f 1)
    waited=
    for container in $found; do
        docker run --rm --pull never --network "container:$container" --cap-add NET_ADMIN --entrypoint nft "$image" "$@" &
        waited="$waited $!"
    done
    for pid in $waited; do wait "$pid"; done
}

one_way=
if [ "${1:-}" = --one-way ]; then
    one_way=yes
    shift
fi
case $#:${1:-} in
1:heal)
    for place in main secondary; do nft "$place" 'add table inet cut; delete table inet cut'; done
    exit 0
    ;;
1:main | 1:secondary)
    from=$1
    if [ "$1" = main ]; then others="secondary witness"; else others="main witness"; fi
    ;;
2:main | 2:secondary) from=$1 others=$2 ;;
*) usage ;;
esac
list=
for other in $others; do list="$list${list:+, }$(network "$other")"; done
rules="add table inet cut
add chain inet cut out { type filter hook output priority 0; }
add rule inet cut out ip daddr { $list } drop"
[ -n "$one_way" ] || rules="$rules
add chain inet cut in { type filter hook input priority 0; }
add rule inet cut in ip saddr { $list } drop"
nft "$from" "$rules"
