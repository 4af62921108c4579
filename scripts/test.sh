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

# The rooms and the end-to-end tests run beside each other: both start processes
# and wait for facts, so that neither keeps the processors busy alone.
rooms=$(mktemp)
trap 'rm -f "$rooms"' EXIT
go build -race ./... # with all cores, so that the tests below need not wait for it
# shellcheck disable=SC2046 # words on purpose
go test -race -timeout 15m -p "${ROOMS:-1}" $(go list ./... | grep -v /e2e) >"$rooms" 2>&1 &
room_tests=$!
run go test -race -timeout 20m -count=1 -parallel 4 ./e2e
echo "+ go test -race of all rooms, meanwhile"
wait $room_tests || failed=1
cat "$rooms"

# go test fuzzes one target of one package at a time.
for file in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		run go test -run='^$' -fuzz="^$target\$" -fuzztime="$fuzz_time" "./$(dirname "$file")"
	done
done
exit $failed
