# Installs the Debian packages that are the arguments. Debian starts a daemon when its package is installed; a policy of
# "no" (101) keeps it from that, and is taken away again however this script ends.
set -eu

policy=/usr/sbin/policy-rc.d
was_running=no
if pidof redis-server >/dev/null 2>&1; then was_running=yes; fi

trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
# Old lists may still name packages that can be fetched.
apt-get -q update || echo "apt-get update failed; trying with the package lists there are" >&2
# Images of containers leave documentation out, wrk's example scripts with it, which the tests run; a package that was
# installed so is installed again.
apt-get -q install -y --reinstall --no-install-recommends -o DPkg::Lock::Timeout=300 \
    -o DPkg::Options::='--path-include=/usr/share/doc/wrk/*' "$@"

# A policy that was here before may have allowed the start.
if [ "$was_running" = no ] && pidof redis-server >/dev/null 2>&1; then
    invoke-rc.d redis-server stop || service redis-server stop
fi
