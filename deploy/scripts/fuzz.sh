#!/usr/bin/env bash
# Runs each fuzz target of the repository for the given time.
set -euo pipefail

time="${1:-30s}"
packages=$(go list ./...)
for package in $packages; do
  # Assigned first: a package that does not compile ends the script here.
  listed=$(go test -list '^Fuzz' "$package")
  for target in $(grep '^Fuzz' <<<"$listed" || true); do
    echo "== $package $target"
    go test -run '^$' -fuzz "^${target}\$" -fuzztime "$time" "$package"
  done
done
