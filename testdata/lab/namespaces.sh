#!/bin/bash
#
# Runs a command in fresh network, mount and pid namespaces, as root of a user
# namespace or, where there are none, as the root that it has to be already.
# Whatever the command starts ends with it.

set -euo pipefail

if unshare --user --map-root-user --mount true 2>/dev/null; then
	user=(--user --map-root-user)
elif ((EUID == 0)); then
	user=()
else
	echo "namespaces.sh: user namespaces are refused: run as root, or allow them:" >&2
	echo "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), kernel.unprivileged_userns_clone=1 (Debian)" >&2
	exit 1
fi
exec unshare "${user[@]}" --net --mount --pid --fork --kill-child "$@"
