#!/usr/bin/env bash
# What is too long for `make test`: end-to-end tests that are named TestSoak (many
# kills, many containers, databases, floods), the matrix of real packages, and the fuzz
# targets with some new inputs beside them. `make soak` installs what it needs first.
set -u
cd "$(dirname "$0")/.."
. scripts/lib.sh

fuzz_beside
run env CGO_ENABLED=0 go test -timeout 40m -count=1 -parallel 4 -run '^TestSoak' ./e2e
run make --no-print-directory apps
fuzz_ends
exit $failed
