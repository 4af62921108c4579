#!/usr/bin/env bash
# Builds Docker Compose from the Go module proxy into .cache/, as the version of
# e2e/testdata/compose-reference/go.mod, where it is missing: the tests compare
# what both make of a file. It takes some minutes the first time.
set -eu
cd "$(dirname "$0")/.."
binary=$PWD/.cache/compose-reference/docker-compose
if [ -x "$binary" ] && [ "$binary" -nt e2e/testdata/compose-reference/go.mod ]; then
	exit 0
fi
mkdir -p "$(dirname "$binary")"
echo "building Docker Compose"
cd e2e/testdata/compose-reference
CGO_ENABLED=0 go build -trimpath -o "$binary" github.com/docker/compose/v2/cmd
