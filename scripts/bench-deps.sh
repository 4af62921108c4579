#!/usr/bin/env bash
# Installs what `make bench` compares bulsa with, and what the load is made by,
# where it is missing. Without a peer, `make bench` measures the others.
set -eu

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need cc gcc
need nginx nginx-light
need haproxy haproxy
need caddy caddy
need wrk wrk
need taskset util-linux
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
		DEBIAN_FRONTEND=noninteractive $as apt-get install -q -y --no-install-recommends $missing
	} </dev/null
fi
