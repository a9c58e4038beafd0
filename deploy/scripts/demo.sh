#!/usr/bin/env bash
# Builds everything and runs a hub, an agent enrolled to it and six simulated
# printers of different models on this machine, until Ctrl-C.
#   DEMO_PORT   port of the hub, 8000
#   DEMO_SPEED  how much faster than real the printers print, 20
#   DEMO_KEEP   1: go on with the data of the last demo instead of starting fresh
set -euo pipefail
cd "$(dirname "$0")/../.."

port="${DEMO_PORT:-8000}"
speed="${DEMO_SPEED:-20}"
data="$PWD/.demo"
url="http://127.0.0.1:$port"
pids=()

die() { echo "demo: $*" >&2; exit 1; }

stop() {
  trap - EXIT INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 0' INT TERM

# start NAME COMMAND… runs a part in the background, with its log beside its data.
start() {
  local name="$1"
  shift
  "$@" >"$data/$name.log" 2>&1 &
  pids+=("$!")
}

# await SECONDS WHAT COMMAND… waits until a command succeeds.
await() {
  local tries=$(($1 * 10)) what="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "$what did not get ready, see the logs in $data"
    sleep 0.1
  done
}

command -v go >/dev/null || die "Go is missing: install Go 1.26 or newer (https://go.dev/dl)"
command -v curl >/dev/null || die "curl is missing: install it (Debian: apt-get install curl)"
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  die "port $port is taken: stop what uses it, or choose another one with DEMO_PORT=8001 make demo"
fi

echo "building (the first time takes some minutes)"
make --no-print-directory -s build

[ "${DEMO_KEEP:-0}" = 1 ] || rm -rf "$data"
mkdir -p "$data"

start hub bin/bambuddy-hub serve --data "$data/hub" --listen "127.0.0.1:$port"
await 20 "the hub" curl -fsS "$url/health"

key=$(bin/bambuddy-hub apikey create --data "$data/hub" --name demo --permissions read,queue,control,admin \
  --limit-read 6000 --limit-write 600 --limit-control 600)
if [ ! -e "$data/agent/identity.json" ]; then
  token=$(bin/bambuddy-hub enrolment create --data "$data/hub" --site Workshop 2>/dev/null)
  bin/bambuddy-agent enroll --token "$token" --data "$data/agent" >"$data/enroll.log"
fi
start agent bin/bambuddy-agent run --data "$data/agent"

rm -f "$data/printers.json"
start simulator bin/bambuddy-simulator --printers 6 --model X1C,P1S,A1,A1MINI,H2D,P2S --address 127.0.1.1 --base-port 18883 \
  --speed "$speed" --control 127.0.0.1:0 --inventory "$data/printers.json" --print
await 30 "the simulated printers" test -s "$data/printers.json"

# One line per printer: the inventory is a JSON array of bodies for POST /printers.
registered=$(curl -fsS -H "X-API-Key: $key" "$url/api/v1/printers" -o /dev/null -w '%header{x-total-count}' 2>/dev/null || true)
if [ "${registered:-0}" = 0 ]; then
  tr -d '\n' <"$data/printers.json" | sed -e 's/^\[//; s/\]$//; s/}[[:space:]]*,[[:space:]]*{/}\n{/g' | while IFS= read -r body || [ -n "$body" ]; do
    curl -fsS -o /dev/null -H "X-API-Key: $key" -H 'Content-Type: application/json' -d "$body" "$url/api/v1/printers" ||
      die "a printer could not be registered: $body"
  done
fi

cat <<TEXT

Bambuddy is running with six simulated printers.

  page     $url
  API key  $key

  curl -H "X-API-Key: $key" $url/api/v1/printers

Ctrl-C stops everything. Data and logs are in .demo.
TEXT

# End when any part does, and say which.
wait -n "${pids[@]}" || true
die "a part of the demo ended by itself, see the logs in $data"
