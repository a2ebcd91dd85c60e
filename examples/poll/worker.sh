#!/bin/sh
# A worker in a shell: it polls, so it needs no address at which the dispatcher could call it.
#
#     examples/poll/worker.sh http://localhost:2567/ shell-1
#
# It needs curl and sed. Replace `work` by your own: it gets the order as JSON, and prints its result
# as JSON, within the job's lease (60 s); a longer one has to report progress meanwhile.
# The name is the worker's identity, so it must be the only one of that name. A poll never
# ends a job: if an answer is lost, or this script is killed, the next poll gets the same job again.
set -u

url=${1:-http://localhost:2567/}
name=${2:-shell-1}
wait_s=${WAIT_S:-30} # up to 60
answer=$(mktemp)
trap 'rm -f "$answer" "$answer.head"' EXIT
trap exit INT TERM

call() { # METHOD PATH [curl's options …]; prints the status: 000 without an answer
    method=$1 path=$2
    shift 2
    curl -s -o "$answer" -D "$answer.head" -w '%{http_code}' -X "$method" "${url%/}/$path" \
        ${WORKER_TOKEN:+-H "Authorization: Bearer $WORKER_TOKEN"} "$@"
}

report() { # JOB RECEIPT WHAT BODY; until there is an answer: a repeat changes nothing
    while :; do
        # by a pipe: an argument may have 128 KiB, and a job may be larger
        status=$(printf '%s' "$4" | call POST "jobs/$1/$3" -H "Job-Receipt: $2" \
            -H 'Content-Type: application/json' --data-binary @-)
        case $status in
        000 | 408 | 429 | 5??) sleep 1 ;;
        2??) return 0 ;;
        *)
            echo "report refused: $status" >&2
            return 1
            ;;
        esac
    done
}

work() {
    printf 'working on %s\n' "$1" >&2
    sleep "${SECONDS_A_JOB:-5}"
    printf '{"made":%s}' "$1"
}

while :; do
    case $(call POST "register-worker?wait=$wait_s" -H "Worker-Id: $name") in
    200)
        one_line=$(tr '\r\n' '  ' <"$answer") # JSON has line breaks between its tokens only
        job=$(printf '%s\n' "$one_line" | sed 's/^{"Job":{"id":"\([^"]*\)".*/\1/')
        data=$(printf '%s\n' "$one_line" | sed 's/^[^,]*,"data":\(.*\),"submitted_at":"[^"]*"}}$/\1/')
        receipt=$(sed -n 's/^[Jj]ob-[Rr]eceipt: *\([^[:space:]]*\).*/\1/p' "$answer.head")
        report "$job" "$receipt" progress '{"percent":0,"text":"mixing"}'
        if ! result=$(work "$data"); then
            report "$job" "$receipt" fail '{"reason":"it did not work","retry":true}'
        elif report "$job" "$receipt" complete "$result"; then
            echo "done" >&2
        else # too large, for example: without a report it would come again with each poll
            report "$job" "$receipt" fail '{"reason":"its result was refused"}'
        fi
        ;;
    204) ;; # no job in that time: ask again
    000 | 408 | 429 | 5??)
        echo "no answer, or not now" >&2
        sleep 1
        ;;
    *)
        echo "the dispatcher says no: $(cat "$answer")" >&2
        exit 1
        ;;
    esac
done
