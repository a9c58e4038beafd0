#!/usr/bin/env bash
# Checks the signature of a webhook: verify.sh "$HTTP_X_BAMBUDDY_SIGNATURE" < body
# The secret is in WEBHOOK_SECRET. Ends with 0 when it is genuine, with 1 when not.
set -euo pipefail

t=$(sed -n 's/^t=\([0-9]\{1,15\}\),v1=[0-9a-f]\{64\}$/\1/p' <<<"$1")
now=$(date +%s)
if [ -z "$t" ] || [ "$t" -lt $((now - 300)) ] || [ "$t" -gt $((now + 300)) ]; then
    echo "the signature is not readable, or older than five minutes" >&2
    exit 1
fi
# openssl takes the secret on its command line, where other users of the machine can
# see it while it runs: on a shared machine use one of the other examples.
v1=$({ printf '%s.' "$t"; cat; } | openssl dgst -sha256 -hmac "$WEBHOOK_SECRET" -r | cut -d' ' -f1)
if [ "$1" != "t=$t,v1=$v1" ]; then
    echo "the signature is wrong" >&2
    exit 1
fi
