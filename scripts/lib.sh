# shellcheck shell=bash
# What scripts/test.sh and scripts/soak.sh share.
export BULSA_TEST_NODES=${BULSA_TEST_NODES-$(scripts/test-nodes.sh)}
export BULSA_TEST_DENO=${BULSA_TEST_DENO-$(scripts/test-nodes.sh deno)}
export BULSA_TEST_BUN=${BULSA_TEST_BUN-$(scripts/test-nodes.sh bun)}
unset NODE_EXTRA_CA_CERTS # no test asks the world, and Node 20 reads it at every start: a third of what that costs
failed=0

# run COMMAND... says what it runs and how long that took; a failure makes failed 1.
run() {
	echo "+ $*"
	local from=$SECONDS
	"$@" || failed=1
	echo "took $((SECONDS - from)) s"
}

# fuzz_beside begins to fuzz at the lowest priority, for tests that wait a part of their
# time. Where the kernel shares by sessions (autogroup in sched(7)) that is the session's.
fuzz_beside() {
	mkdir -p .cache
	setsid sh -c 'echo 19 2>/dev/null >/proc/self/autogroup; exec nice -n 19 scripts/fuzz.sh' >.cache/fuzz.log 2>&1 </dev/null &
	fuzzing=$!
	trap 'kill -- -$fuzzing 2>/dev/null' EXIT
}

# fuzz_ends waits for the fuzzing and shows what it found.
fuzz_ends() {
	echo "+ scripts/fuzz.sh, which has run beside it"
	wait "$fuzzing" || failed=1
	trap - EXIT
	grep -v '^fuzz: elapsed' .cache/fuzz.log
}
