#!/usr/bin/env bash
# The usual tests: the rooms with the race detector, then the built binary from end to
# end (with the detector where its tests say so, world.binary). `make test` checks and
# vets first; what is long is in scripts/soak.sh.
set -u
cd "$(dirname "$0")/.."
export CGO_ENABLED=1 # the race detector needs it
. scripts/lib.sh

go build -race ./... # with all cores, so that the tests below need not wait for it
# Both wait for processes a third of their time: hence more at once than there are cores.
# shellcheck disable=SC2046 # words on purpose
run go test -race -p $(($(nproc) + 1)) -timeout 20m -skip '^TestSoak' $(go list ./... | grep -v /e2e)
run env CGO_ENABLED=0 go test -timeout 40m -count=1 -parallel 6 -skip '^TestSoak' ./e2e
exit $failed
