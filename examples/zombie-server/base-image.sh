#!/usr/bin/env bash
# Makes sure that Docker has the example's base image: from a registry, else from
# this machine's own node with the libraries that it needs.
set -eu
image=${1:-node:22-slim}
if docker image inspect "$image" >/dev/null 2>&1 || docker pull "$image"; then
	exit 0
fi
echo "no registry is reachable: $image is made from $(command -v node) $(node --version)" >&2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/root/bin" "$folder/root/tmp" "$folder/root/usr/local/bin"
for program in node sh; do
	path=$(readlink -f "$(command -v $program)")
	{ ldd "$path" 2>/dev/null || true; } | tr ' \t' '\n\n' | grep '^/' | sort -u | while read -r library; do
		mkdir -p "$folder/root$(dirname "$library")"
		cp -L "$library" "$folder/root$library"
	done
	cp "$path" "$folder/root/bin/$program"
done
tar -C "$folder/root" -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' - "$image"
