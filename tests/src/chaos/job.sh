# What a run of the chaos suite executes: `job.sh <what> <seconds>`.
#
# It marks its start and its end in a file that is only appended to. A mark is one write, so runs do not mix theirs. It works
# in the folder of this script: whatever a run leaves behind is found there, also without its environment.

cd "$(dirname "$0")" || exit 90
mark() { echo "$1 $PREFECT__FLOW_RUN_ID $$ $WORKER_LAUNCH_KEY" >>record; }

mark start
case $1 in
succeeds)
    sleep "$2"
    mark stop
    ;;
fails)
    sleep "$2"
    mark stop
    exit 3
    ;;
dies)
    sleep "$2"
    kill -KILL $$
    ;;
talks)
    yes 'a line of output, as long as lines of output usually are' | head -n 3000
    sleep "$2"
    echo 'and one of errors' >&2
    mark stop
    ;;
leaves-children)
    setsid sleep 600 &
    (setsid env -i "$(command -v sleep)" 600 &)
    sh -c 'trap "" TERM HUP INT; while :; do sleep 0.5; done' &
    sleep "$2"
    mark stop
    ;;
ignores-sigterm)
    trap '' TERM INT HUP
    while :; do sleep 0.2; done
    ;;
breeds)
    trap 'born=0; while [ $born -lt 20 ]; do setsid sleep 600 & born=$((born + 1)); sleep 0.02; done' TERM
    while :; do sleep 0.2; done
    ;;
meets)
    # `meets <how many> <name> <seconds>`: ends well only if so many runs execute at the same time.
    echo here >>"meeting-$3"
    waited=0
    while [ "$(wc -l <"meeting-$3")" -lt "$2" ]; do
        [ $waited -lt $((20 * $4)) ] || exit 9
        waited=$((waited + 1))
        sleep 0.05
    done
    mark stop
    ;;
*) exit 91 ;;
esac
