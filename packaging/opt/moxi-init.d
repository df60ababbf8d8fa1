#!/bin/sh
# The service on hosts without systemd; /etc/init.d/moxi-server leads here.

program=/opt/moxi/bin/moxi.actual
behavior=/opt/moxi/etc/moxi.cfg
cluster=/opt/moxi/etc/moxi-cluster.cfg
pidfile=/var/run/moxi-server.pid

OPTIONS=
for file in /etc/sysconfig/moxi-server /etc/default/moxi-server; do
    # shellcheck disable=SC1090 # the administrator's
    [ ! -r "$file" ] || . "$file"
done

# Prints its process id.
running() {
    [ -s "$pidfile" ] && read -r pid <"$pidfile" 2>/dev/null &&
        [ "$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | head -n 1)" = "$program" ] && echo "$pid"
}

start() {
    if running >/dev/null; then
        echo "moxi is running"
        return 0
    fi
    # Nothing to start is no failure.
    if [ ! -x "$program" ] || [ ! -f "$behavior" ] || ! grep -qs '^[^#]' "$cluster"; then
        echo "moxi is not configured: see $cluster"
        return 0
    fi
    cd /opt/moxi || return 1
    # shellcheck disable=SC3045 # every sh of a system with /etc/init.d has it
    ulimit -n 10240 2>/dev/null
    # shellcheck disable=SC3045
    ulimit -S -c 0
    echo "Starting moxi"
    # shellcheck disable=SC2086 # a list of words
    "$program" -d -u moxi $OPTIONS -P "$pidfile" -Z "$behavior" -z "$cluster"
}

# send SIGNAL SECONDS: true when it has gone by then.
send() {
    pid=$(running) || return 0
    kill -s "$1" "$pid" 2>/dev/null
    tries=$(($2 * 10))
    while [ "$tries" -gt 0 ] && running >/dev/null; do
        sleep 0.1
        tries=$((tries - 1))
    done
    ! running >/dev/null
}

stop() {
    if ! running >/dev/null; then
        echo "moxi is not running"
        return 0
    fi
    echo "Stopping moxi"
    send TERM 35 || send KILL 2 || return 1
    rm -f "$pidfile"
}

check() {
    # shellcheck disable=SC2086 # a list of words
    "$program" --check=config -u moxi $OPTIONS -Z "$behavior" -z "$cluster"
}

# The program that is installed now takes the place of the one that runs.
upgrade() {
    pid=$(running) || return 7
    kill -s USR2 "$pid"
}

hangup() {
    pid=$(running) || return 7
    kill -s HUP "$pid"
}

case ${1-} in
    start) start ;;
    stop | force-stop) stop ;;
    restart | force-reload) stop && start ;;
    condrestart | try-restart) if running >/dev/null; then stop && start; fi ;;
    reload) check && hangup ;;
    rotate) hangup ;;
    upgrade) upgrade ;;
    status)
        if running >/dev/null; then
            echo "moxi is running"
        else
            echo "moxi is not running"
            exit 3
        fi ;;
    *)
        echo "Usage: $0 {start|stop|force-stop|restart|force-reload|condrestart|reload|rotate|upgrade|status}" >&2
        exit 2 ;;
esac
