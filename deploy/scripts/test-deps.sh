#!/usr/bin/env bash
# Installs what the tests use beside Go, or says in one line what is missing: a C
# compiler, without which there is no race detector, and PostgreSQL, vsftpd, curl,
# ffmpeg, iproute2, three S3 clients and an S3 server, without which the tests that need them skip.
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
# tool COMMAND PACKAGE WHAT installs what some tests run beside our own, which skip without.
tool() {
  PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null || install "$2" ||
    echo "$1 is not installed, so $3 are skipped (Debian: apt-get install $2)" >&2
}
tool vsftpd vsftpd "the FTPS tests against a real server"
tool curl curl "the tests that compare with curl"
tool ffmpeg ffmpeg "the tests of H.264 cameras"
tool rclone rclone "the tests of the S3 door with rclone"
tool s3cmd s3cmd "the tests of the S3 door with s3cmd"
tool aws awscli "the tests of the S3 door with the AWS client"
tool ip iproute2 "the tests of the S3 door from another network namespace"

# The S3 server is no package of Debian's: it is built once, into Go's cache.
echo "looking for the S3 server of the tests (built at its first use, which takes some minutes)"
cd "$(dirname "$0")/../.."
nice go tool -modfile=deploy/tools/go.mod -n versitygw >/dev/null ||
  echo "the S3 server versitygw cannot be built, so the tests of object stores against it are skipped" >&2
