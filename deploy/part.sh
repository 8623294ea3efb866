#!/bin/sh
# Starts, stops or checks a program of this host, as the path says by which it is called: /parts/NAME/start.
set -eu
. /run/pointsman/place

verb=$(basename "$0")
part=$(basename "$(dirname "$0")")
pid_file=/run/$part.pid

# 0: it runs, 1: it does not. A process id may be used again: it counts only while it is this program.
runs() {
    [ -e "$pid_file" ] && read -r pid <"$pid_file" && grep -qxz "PART=$part" "/proc/$pid/environ" 2>/dev/null
}

by_name="--port 7011 --name cfg-a.example.test --name cfg-b.example.test:7012"
start() {
    PART=$part setsid lab-standin "$@" </dev/null >>"/var/log/$part" 2>&1 &
    echo $! >"$pid_file"
}

case $verb in
check)
    runs || exit 1
    ;;
stop)
    runs || exit 0
    kill "$pid"
    for try in $(seq 200); do
        runs || exit 0
        [ "$try" -ne 50 ] || kill -9 "$pid"
        sleep 0.02
    done
    exit 2
    ;;
start)
    ! runs || exit 0
    case $part in
    # Only at the live site.
    scs-msg) start message --listen "$ADDRESS:7001" ;;
    cs-primary) start master --listen "$ADDRESS:7011" --dsn "host=db user=cfg_db dbname=config" --holder "$part" ;; # of the master pair
    cs-backup) start master --listen "$ADDRESS:7012" --dsn "host=db user=cfg_db dbname=config" --holder "$part" ;; # of the master pair
    master-scs)
        start control --listen "$ADDRESS:7021" --message "$ADDRESS:7001" \
            --controls "$ADDRESS:7011" --restart /parts/cs-primary/start \
            --controls "$ADDRESS:7012" --restart /parts/cs-backup/start
        ;;
    # At both sites.
    resolver) start resolver --listen "$ADDRESS:7053" --upstream "${ADDRESS%.*}.4:5353" ;;
    site-scs) start control --listen "$ADDRESS:7022" --message 10.57.1.10:7001 --message 10.57.2.10:7001 ;;
    log-msg) start message --listen "$ADDRESS:7031" --dsn "host=db user=ms_db dbname=log" --site "$PLACE" ;;
    # The second of a pair loads later than the first.
    proxy-a) start proxy --listen "$ADDRESS:7041" --dns "$ADDRESS:7053" $by_name ;;
    proxy-b) start proxy --listen "$ADDRESS:7042" --dns "$ADDRESS:7053" $by_name --delay-reload 300 ;;
    *) echo "no program $part" >&2; exit 2 ;;
    esac
    ;;
esac
