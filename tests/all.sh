#!/usr/bin/env bash
# Runs every test: those of `cargo test --workspace`, and those that need programs from outside: browsers (Debian's
# chromium and firefox-esr, driven from Node.js), foreign TURN clients (Debian's coturn, pion, libnice and GStreamer, Python's aioice and
# aiortc, WebRTC libraries of Node.js), reverse proxies (Debian's nginx, Caddy and HAProxy), nftables, by which the routers of
# the NAT lab translate, and Valgrind, which counts instructions. What is missing is installed first, if this runs as root on a
# Debian-like system; otherwise it is named.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# command -> Debian package that brings it
needed=(chromium:chromium firefox-esr:firefox-esr openssl:openssl turnutils_uclient:coturn ip:iproute2 node:nodejs npm:npm python3:python3
    go:golang-go nginx:nginx caddy:caddy haproxy:haproxy
    nft:nftables valgrind:valgrind)
# Debian packages that bring no command
libraries=(gir1.2-gst-plugins-bad-1.0 gir1.2-nice-0.1 golang-github-pion-webrtc.v3-dev gstreamer1.0-nice
    gstreamer1.0-plugins-bad python3-gi)
missing=()
for pair in "${needed[@]}"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
for package in "${libraries[@]}"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
python3 -c "import ensurepip, venv" 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "tests/all.sh needs these packages, please install them: ${missing[*]}" >&2
        exit 1
    fi
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ "$(id -u)" != 0 ]; then
    echo "tests/all.sh must run as root: browser tests and the NAT lab make network namespaces" >&2
    exit 1
fi

say "cargo test --workspace"
cargo test --locked --workspace

say "10,000 virtual worlds of each kind, known bugs put in"
HELIOGRAPH_SEEDS=10000 cargo test --locked --release -p heliograph-sim
tests/sim/mutants.sh

say "instructions for a packet, memory for an allocation"
cargo bench --locked -p relay-core --bench instructions
cargo bench --locked -p relay-core --bench scale -- --test

say "foreign TURN clients, traces"
python=$PWD/target/foreign-python
[ -x "$python/bin/pip" ] || python3 -m venv "$python"
"$python/bin/pip" install --quiet --disable-pip-version-check aioice==0.13.0 aiortc==1.16.0
(cd tests/foreign/node && npm ci --no-audit --no-fund --loglevel=error)
HELIOGRAPH_PYTHON=$python/bin/python \
cargo test --locked --features foreign-clients,otel --test foreign_clients --test differential --test traces

say "reverse proxies"
cargo test --locked --features foreign-clients,otel --test proxies

say "the TypeScript SDK"
(cd signal/client-js && npm ci --no-audit --no-fund --loglevel=error && npm run check && npm test)

say "browsers"
cargo build --locked --release
cargo build --locked --example data_channel
cargo run --locked -p web-echo
(cd tests/browser && npm ci --no-audit --no-fund --loglevel=error)
HELIOGRAPH_BIN=$PWD/target/release/heliograph \
HELIOGRAPH_EXAMPLE=$PWD/target/debug/examples/data_channel \
    tests/browser/run.sh

say "NAT lab"
cargo build --locked --bin heliograph --example data_channel --example lab
cargo test --locked -p heliograph-lab --features namespaces

say "all tests passed"
