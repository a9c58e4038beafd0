#!/usr/bin/env bash
# Builds everything and runs a hub, an agent enrolled to it and six simulated
# printers of different models on this machine, until Ctrl-C.
#   DEMO_PORT           port of the hub, 8000
#   DEMO_S3_PORT        port of the archive for S3 tools, 9000
#   DEMO_PRINTERS_PORT  first of the printers' 18 ports, 18883
#   DEMO_SPEED          how much faster than real the printers print, 20
#   DEMO_DATA           where the data and the logs are, .demo
#   DEMO_KEEP           1: go on with the data of the last demo instead of starting fresh
set -euo pipefail
cd "$(dirname "$0")/../.."

port="${DEMO_PORT:-8000}"
s3_port="${DEMO_S3_PORT:-9000}"
speed="${DEMO_SPEED:-20}"
keep="${DEMO_KEEP:-0}"
data="${DEMO_DATA:-$PWD/.demo}"
url="http://127.0.0.1:$port"
printers=127.0.1.1 printers_port="${DEMO_PRINTERS_PORT:-18883}"
names=() pids=()

die() { echo "demo: $*" >&2; exit 1; }

stop() {
  trap - EXIT INT TERM HUP
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

# start NAME COMMAND… runs a part in the background, with its log beside its data.
# A terminal that closes ends this script, which then ends the parts in order.
start() {
  local name="$1"
  shift
  (trap '' HUP && exec "$@") >"$data/$name.log" 2>&1 &
  names+=("$name") pids+=("$!")
}

# check dies if a part has ended, with the last thing it said.
check() {
  for i in "${!pids[@]}"; do
    kill -0 "${pids[$i]}" 2>/dev/null || die "the ${names[$i]} ended: $(tail -n 1 "$data/${names[$i]}.log")"
  done
}

# await SECONDS NAME COMMAND… waits until a part is ready, which is when the command succeeds.
await() {
  local tries=$(($1 * 10)) name="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    check
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "the $name did not get ready, see $data/$name.log"
    sleep 0.1
  done
}

taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# check_ports comes before anything is touched: a demo that runs must keep its data.
check_ports() {
  if taken 127.0.0.1 "$port"; then
    die "port $port is taken: stop what uses it, or choose another one with DEMO_PORT=8001 make demo"
  fi
  if taken 127.0.0.1 "$s3_port"; then
    die "port $s3_port is taken: stop what uses it, or choose another one with DEMO_S3_PORT=9001 make demo"
  fi
  if taken "$printers" "$printers_port"; then
    die "simulated printers are running already at $printers:$printers_port: stop the other demo first"
  fi
}

# register gives the hub a printer, which a kept demo may know already.
register() {
  local status
  status=$(curl -sS -o "$data/answer.json" -w '%{http_code}' -H "X-API-Key: $key" -H 'Content-Type: application/json' \
    -d "$1" "$url/api/v1/printers") || die "the hub did not answer, see $data/hub.log"
  case "$status" in
    201 | 409) ;;
    *) die "a printer could not be registered: $(cat "$data/answer.json")" ;;
  esac
}

command -v go >/dev/null || die "Go is missing: install Go 1.26 or newer (https://go.dev/dl)"
command -v curl >/dev/null || die "curl is missing: install it (Debian: apt-get install curl)"
if ! command -v ffmpeg >/dev/null; then
  { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing ffmpeg, for the cameras of X1, P2 and H2" &&
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ffmpeg >/dev/null </dev/null; } ||
    echo "ffmpeg is missing, so X1, P2 and H2 show no pictures (Debian: apt-get install ffmpeg)"
fi
check_ports

echo "building (the first time takes some minutes)"
make --no-print-directory -s build

check_ports
identity="$data/agent/identity.json"
if [ "$keep" != 1 ]; then
  rm -rf "$data"
elif [ -e "$identity" ] && ! grep -qF "\"$url\"" "$identity"; then
  die "the agent of the kept data knows its hub at another port: use that DEMO_PORT, or start fresh without DEMO_KEEP"
fi
mkdir -p "$data"

start hub bin/bambuddy-hub serve --data "$data/hub" --listen "127.0.0.1:$port" --s3-listen "127.0.0.1:$s3_port"
await 20 hub curl -fsS "$url/health"

key=$(bin/bambuddy-hub apikey create --data "$data/hub" --name demo --permissions read,queue,control,admin \
  --limit-read 6000 --limit-write 600 --limit-control 600)
password=$(bin/bambuddy-hub user create --data "$data/hub" --username demo --role admin 2>/dev/null) ||
  password=$(bin/bambuddy-hub user reset-password --data "$data/hub" --username demo)
{ read -r s3_key && read -r s3_secret; } < <(bin/bambuddy-hub s3 credentials create --data "$data/hub" --name demo)
if [ ! -e "$identity" ]; then
  token=$(bin/bambuddy-hub enrolment create --data "$data/hub" --site Workshop 2>"$data/enroll.log")
  bin/bambuddy-agent enroll --token "$token" --data "$data/agent" >"$data/enroll.log" 2>&1 ||
    die "the agent could not be enrolled: $(tail -n 1 "$data/enroll.log")"
fi

# The simulator makes new certificates at each start. An agent that remembers the
# old ones rightly refuses such printers, so it is made to forget them.
rm -f "$data/agent/pins.sealed" "$data/printers.json"
start simulator bin/bambuddy-simulator --printers 6 --model X1C,P1S,A1,A1MINI,H2D,P2S \
  --address "$printers" --base-port "$printers_port" \
  --speed "$speed" --control 127.0.0.1:0 --inventory "$data/printers.json" --print
await 30 simulator test -s "$data/printers.json"
start agent bin/bambuddy-agent run --data "$data/agent"

# The inventory is a JSON array of flat objects, each a body of POST /printers.
while IFS= read -r body; do
  register "$body"
done < <(tr -d '\n' <"$data/printers.json" | awk 'BEGIN { RS = "}" } sub(/^[^{]*\{/, "{") { print $0 "}" }')

cat <<TEXT

Bambuddy is running with six simulated printers.

  page     $url (user demo, password $password)
  API key  $key

  curl -H "X-API-Key: $key" $url/api/v1/printers
  curl -H "X-API-Key: $key" $url/api/v1/archives

The archive, for S3 tools (docs/archive.md): http://127.0.0.1:$s3_port, access key $s3_key, secret $s3_secret

Ctrl-C stops everything. Data and logs are in $data.
TEXT

# End when any part does, and say which.
wait -n "${pids[@]}" || true
check
