#!/usr/bin/env bash
# All tests: the rooms with the race detector, then the built binary from end to
# end (with the detector where its tests say so, world.binary), then every fuzz
# target with some new inputs. `make test` checks and vets first.
set -u
cd "$(dirname "$0")/.."
export CGO_ENABLED=1 # the race detector needs it
export BULSA_TEST_NODES=${BULSA_TEST_NODES-$(scripts/test-nodes.sh)}
export BULSA_TEST_DENO=${BULSA_TEST_DENO-$(scripts/test-nodes.sh deno)}
export BULSA_TEST_BUN=${BULSA_TEST_BUN-$(scripts/test-nodes.sh bun)}
unset NODE_EXTRA_CA_CERTS # no test asks the world, and Node 20 reads it at every start: a third of what that costs
failed=0

run() {
	echo "+ $*"
	local from=$SECONDS
	"$@" || failed=1
	echo "took $((SECONDS - from)) s"
}

go build -race ./... # with all cores, so that the tests below need not wait for it
# Both wait for processes a third of their time: hence more at once than there are cores.
# shellcheck disable=SC2046 # words on purpose
run go test -race -p $(($(nproc) + 1)) -timeout 20m $(go list ./... | grep -v /e2e)
run env CGO_ENABLED=0 go test -timeout 40m -count=1 -parallel 6 ./e2e

# go test fuzzes one target of one package at a time. A number of inputs and not a
# time: at the end of its time go test fails now and then with "context deadline
# exceeded" (go.dev/issue/75804). Reading a Compose file takes milliseconds; what the parser
# accepts, net/http must read the same way: that is tried longest.
for file in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		case $target in
		FuzzLoad) inputs=1000x ;;
		FuzzRequests) inputs=150000x ;;
		*) inputs=30000x ;;
		esac
		run go test -run='^$' -fuzz="^$target\$" -fuzztime="${FUZZ_TIME:-$inputs}" "./$(dirname "$file")"
	done
done
exit $failed
