#!/usr/bin/env bash
# Runs the demo on free ports until all of its printers are connected and one has
# shown a picture and one print is archived with its file, and sees that it ends when it is told to and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
demo=
finish() {
  [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
die() {
  echo "demo-check: $*" >&2
  tail -n 20 "$work/out" "$work"/data/*.log >&2 2>/dev/null || true
  exit 1
}

taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
free_port() {
  local port
  while port=$((20000 + RANDOM % 20000)) && taken 127.0.0.1 "$port"; do :; done
  echo "$port"
}

port=$(free_port)
DEMO_PORT=$port DEMO_S3_PORT=$(free_port) DEMO_PRINTERS_PORT=$((40000 + RANDOM % 1000 * 20)) DEMO_DATA="$work/data" \
  bash deploy/scripts/demo.sh >"$work/out" 2>&1 &
demo=$!

# within SECONDS COMMAND… tries until the command succeeds or the demo ends.
within() {
  local tries=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "$demo" 2>/dev/null || die "the demo ended by itself"
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "not in time: $*"
    sleep 0.2
  done
}

within 600 grep -q "API key" "$work/out" # it builds first
key=$(grep -o 'bb_[A-Za-z0-9_-]*' "$work/out" | head -n 1)
api() { curl -fsS -H "X-API-Key: $key" "http://127.0.0.1:$port/api/v1/$1"; }
connected() { [ "$(api printers | grep -o '"connected":true' | wc -l)" = 6 ]; }
within 30 connected
picture() { api printers/2/camera/snapshot | head -c 2 | od -An -tx1 | grep -q "ff d8"; }
within 30 picture
archived() { api 'archives?file_status=stored' | grep -q '"sha256":"[0-9a-f]'; }
within 60 archived

kill "$demo"
wait "$demo" || die "the demo ended with $?"
demo=
sleep 0.5
taken 127.0.0.1 "$port" && die "a part of the demo still runs"
echo "the demo works"
