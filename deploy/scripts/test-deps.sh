#!/usr/bin/env bash
# Installs what the tests use beside Go, or says in one line what is missing.
# Tests that need a missing part skip with the reason.
set -euo pipefail

command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer (https://go.dev/dl)" >&2; exit 1; }

if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
  exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing PostgreSQL for the store's tests"
  export DEBIAN_FRONTEND=noninteractive
  if apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; then
    exit 0
  fi
fi
echo "PostgreSQL is not installed, so its tests are skipped (Debian: apt-get install postgresql)" >&2
