#!/usr/bin/env bash
# All tests: the rooms with the race detector, then the built binary from end to
# end (with the detector where its tests say so, world.binary), and beside that the
# fuzz targets with some new inputs. `make test` checks and vets first.
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

# The end-to-end tests leave a third of the machine: fuzzing takes it, at the lowest
# priority. Where the kernel shares by sessions (autogroup in sched(7)) that is the session's.
mkdir -p .cache
setsid sh -c 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 scripts/fuzz.sh' >.cache/fuzz.log 2>&1 </dev/null &
fuzzing=$!
trap 'kill -- -$fuzzing 2>/dev/null' EXIT
run env CGO_ENABLED=0 go test -timeout 40m -count=1 -parallel 6 ./e2e
echo "+ scripts/fuzz.sh, which has run beside it"
wait $fuzzing || failed=1
trap - EXIT
grep -v '^fuzz: elapsed' .cache/fuzz.log
exit $failed
