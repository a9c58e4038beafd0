#!/usr/bin/env bash
# Installs what the tests use beside Go, or says in one line what is missing: a C
# compiler, without which there is no race detector, and PostgreSQL, without
# which the store's tests on it skip.
set -euo pipefail

# install PACKAGE… installs by apt, where that is possible.
install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  echo "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "$@" >/dev/null </dev/null
}

command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer (https://go.dev/dl)" >&2; exit 1; }

cc=$(go env CC)
if ! command -v "${cc%% *}" >/dev/null && ! install gcc libc6-dev; then
  echo "a C compiler is missing, the race detector needs it (Debian: apt-get install gcc libc6-dev)" >&2
  exit 1
fi
if ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && ! install postgresql; then
  echo "PostgreSQL is not installed, so its tests are skipped (Debian: apt-get install postgresql)" >&2
fi
