#!/usr/bin/env bash
# All tests with the race detector: the rooms, then the built binary from end to
# end, then every fuzz target for a few seconds. `make test` checks and vets first.
set -u
cd "$(dirname "$0")/.."
export CGO_ENABLED=1 # the race detector needs it
export BULSA_TEST_NODES=${BULSA_TEST_NODES-$(scripts/test-nodes.sh)}
export BULSA_TEST_DENO=${BULSA_TEST_DENO-$(scripts/test-nodes.sh deno)}
export BULSA_TEST_BUN=${BULSA_TEST_BUN-$(scripts/test-nodes.sh bun)}
fuzz_time=${FUZZ_TIME:-5s}
failed=0

run() {
	echo "+ $*"
	"$@" || failed=1
}

# Tests start processes and wait for facts: half of the cores for packages, the
# other half for what they start.
packages=$(($(nproc) / 2))
[ "$packages" -ge 1 ] || packages=1

go build -race ./... # with all cores, so that the tests below need not wait for it
# shellcheck disable=SC2046 # words on purpose
run go test -race -timeout 15m -p "$packages" $(go list ./... | grep -v /e2e)
run go test -race -timeout 20m -count=1 -parallel 4 ./e2e # most of them wait for processes

# go test fuzzes one target of one package at a time.
for file in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		run go test -run='^$' -fuzz="^$target\$" -fuzztime="$fuzz_time" "./$(dirname "$file")"
	done
done
exit $failed
