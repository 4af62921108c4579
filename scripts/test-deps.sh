#!/usr/bin/env bash
# Installs what the tests need beside Go and Node, where it is missing: a C
# compiler (the race detector), python3, curl, ps, dockerd, Redis and PostgreSQL from Debian, the npm
# packages of the example and of the tests' apps, and further Node versions. bulsa itself needs none of it.
set -eu
cd "$(dirname "$0")/.."

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need gcc gcc
need strip binutils
need make make
need python3 python3
need curl curl
need ps procps
need slowhttptest slowhttptest
if [ "${BULSA_TEST_DOCKER:-}" != off ]; then # the tests start a dockerd of their own
	need dockerd docker.io
	need redis-server redis-server # the databases whose rows the tests count, as images
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
fi
if [ ! -e /usr/include/stdlib.h ]; then
	missing="$missing libc6-dev"
fi
if [ -n "$missing" ]; then
	as=
	if [ "$(id -u)" != 0 ]; then as=sudo; fi
	echo "installing$missing"
	# shellcheck disable=SC2086 # words on purpose
	{
		$as apt-get update -q
		# RUNLEVEL=1: nothing that is installed here is started
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $as apt-get install -q -y --no-install-recommends $missing
	} </dev/null
fi

for program in go node npm; do
	if ! command -v "$program" >/dev/null; then
		echo "$program is missing: install Go 1.26 or newer and Node 18 or newer" >&2
		exit 1
	fi
done

for folder in examples/zombie-server e2e/testdata/apps e2e/testdata/ports e2e/testdata/cluster e2e/testdata/web; do
	if [ ! -e "$folder/node_modules" ]; then
		npm ci --prefix "$folder" --no-audit --no-fund
	fi
done
scripts/test-nodes.sh install || echo "no further Node versions: the tests run on $(node --version) alone" >&2
