#!/usr/bin/env bash
# Every fuzz target with some new inputs: a number and not a time, because at the
# end of its time go test fails now and then with "context deadline exceeded"
# (go.dev/issue/75804). FUZZ_TIME=1h, or 1000000x, says how long each. What the parser of
# requests accepts, net/http must read the same way: that is tried longest.
#
# `scripts/fuzz.sh test` is the part that belongs to the tests: without FuzzLoad,
# for which all that reads Compose files is compiled once more, a minute for a
# thousand inputs. It runs beside other tests, and takes what they leave of the machine.
set -u
cd "$(dirname "$0")/.."
failed=0 part=${1:-all}
if [ "$part" = test ]; then
	echo 19 2>/dev/null >/proc/self/autogroup || true # where the kernel shares by sessions nice means little
	renice -n 19 -p $$ >/dev/null
fi

# go test fuzzes one target of one package at a time.
for file in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		case $target in
		FuzzLoad)
			if [ "$part" = test ]; then continue; fi
			inputs=1000x
			;;
		FuzzRequests) inputs=150000x ;;
		*) inputs=30000x ;;
		esac
		from=$SECONDS
		echo "+ fuzz $target in $(dirname "$file")"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="${FUZZ_TIME:-$inputs}" "./$(dirname "$file")" || failed=1
		echo "took $((SECONDS - from)) s"
	done
done
exit $failed
