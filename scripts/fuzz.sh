#!/usr/bin/env bash
# Every fuzz target with some new inputs: a number and not a time, because at the
# end of its time go test fails now and then with "context deadline exceeded"
# (go.dev/issue/75804). FUZZ_TIME=1h, or 1000000x, says how long each. What the parser of
# requests accepts, net/http must read the same way: that is tried longest.
set -u
cd "$(dirname "$0")/.."
failed=0

# go test fuzzes one target of one package at a time.
for file in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		case $target in
		FuzzLoad) inputs=1000x ;; # reading a Compose file takes milliseconds
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
