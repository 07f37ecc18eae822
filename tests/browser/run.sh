#!/bin/sh
# Runs the browser tests in a network namespace of their own, with no way out: browsers call home.
# Needs root.
#
#   tests/browser/run.sh [FILE...]
#
# Without names it runs all, one file after the other; those in long/ take minutes.
#
# HELIOGRAPH_BIN       the binary; default target/release/heliograph, else target/debug/heliograph
# HELIOGRAPH_EXAMPLE   the example `data_channel`; default beside the binary, in examples/
# HELIOGRAPH_WEB_ECHO  the page of examples/web, as `cargo run -p web-echo` builds it; default target/web-echo
# CHROMIUM, FIREFOX    the browsers; default /usr/bin/chromium and /usr/bin/firefox-esr
# SCREENSHOTS          where to put pictures of the page; default a temporary folder
set -eu

if [ "${HELIOGRAPH_NAMESPACE:-}" != private ]; then
    [ "$(id -u)" = 0 ] || { echo "run.sh: needs root, for a network namespace" >&2; exit 2; }
    HELIOGRAPH_NAMESPACE=private exec unshare --net -- "$0" "$@"
fi

# Without it an interface gets its link-local address a second or two late: a change of networks,
# by which Chromium breaks off what it loads.
setting=/proc/sys/net/ipv6/conf/default/accept_dad
[ ! -e $setting ] || echo 0 >$setting
# libwebrtc offers no host candidate without a default route, so there is one, into nowhere.
ip link set lo up
ip link add lan type veth peer name nowhere
ip addr add 192.168.77.2/24 dev lan
ip link set lan up
ip link set nowhere up
ip route add default via 192.168.77.1 dev lan

for file; do
    case $file in /*) ;; *) file=$PWD/$file ;; esac
    set -- "$@" "$file"
    shift
done
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- unit/*.test.js ./*.test.js long/*.test.js
[ -d node_modules ] || { echo "run.sh: run 'npm ci' in tests/browser first" >&2; exit 2; }
exec node --test --test-concurrency=1 "$@"
