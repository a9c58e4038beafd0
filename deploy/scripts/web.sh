#!/usr/bin/env bash
# Checks what is written in TypeScript, and holds the OpenAPI document against public
# linters. Without Node there is nothing it could do: building and testing the hub
# does not need it. Usage: web.sh [check|generate]
set -euo pipefail
cd "$(dirname "$0")/../../hub/web"

if ! command -v npm >/dev/null || ! node -e 'process.exit(Number.parseInt(process.versions.node, 10) < 20 ? 1 : 0)'; then
	echo "hub/web is not checked: it needs Node 20 or newer"
	exit 0
fi

export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true NO_UPDATE_NOTIFIER=1

# Nothing is run of what is installed, and only when the lock file is another one.
if ! cmp -s package-lock.json node_modules/.installed; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cp package-lock.json node_modules/.installed
fi

case ${1:-check} in
generate)
	npm run --silent generate
	;;
check)
	npm run --silent openapi
	fresh=$(mktemp)
	trap 'rm -f "$fresh"' EXIT
	OUT=$fresh npm run --silent generate >/dev/null
	cmp "$fresh" src/api/schema.d.ts || { echo "schema.d.ts is not of this document: make openapi" >&2; exit 1; }
	npm run --silent lint
	npm run --silent types
	npm run --silent test
	;;
*)
	echo "usage: web.sh [check|generate]" >&2
	exit 2
	;;
esac
