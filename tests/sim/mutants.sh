#!/usr/bin/env bash
# Puts known bugs of other servers into a copy of the cores, one after the other, and expects that the virtual world finds
# each. What a bug is, and whose, stands at the head of its patch in mutants/; the world that it is for, before the first
# hyphen of its name. Names as arguments: only these.
set -euo pipefail
cd "$(dirname "$0")/../.."

seeds=2500
work=$PWD/target/mutants
tree=$work/tree
patches=$PWD/tests/sim/mutants

rm -rf "$tree"
mkdir -p "$tree/relay" "$tree/signal" "$tree/tests"
cp -a base "$tree/"
cp -a relay/core "$tree/relay/"
cp -a signal/core "$tree/signal/"
cp -a tests/sim "$tree/tests/"
cp -a Cargo.lock rust-toolchain.toml "$tree/"
# The workspace without the root package.
sed -e '/^\[package\]/,$d' \
    -e 's|^members = .*|members = ["base", "relay/core", "signal/core", "tests/sim"]|' Cargo.toml >"$tree/Cargo.toml"

# For git the copy is in no repository: in one it would pass over what isn't tracked.
export GIT_CEILING_DIRECTORIES=$work
export CARGO_TARGET_DIR=$work/target CARGO_PROFILE_DEV_DEBUG=0 HELIOGRAPH_SEEDS=$seeds RUST_BACKTRACE=0
unset HELIOGRAPH_SEED
cd "$tree"
names=("$@")
[ ${#names[@]} -gt 0 ] || for patch in "$patches"/*.patch; do names+=("$(basename "$patch" .patch)"); done
survivors=()
for name in "${names[@]}"; do
    patch=$patches/$name.patch
    world=${name%%-*}
    git apply "$patch" ||
        { echo "$name no longer applies: make the patch anew" >&2; exit 1; }
    log=$work/$name.log
    if cargo test --offline -q -p heliograph-sim --test "$world" >"$log" 2>&1; then
        survivors+=("$name")
        echo "$name: NOT found in $seeds worlds"
    elif seed=$(grep -o "seed [0-9]* of the $world world failed" "$log"); then
        echo "$name: found by ${seed%% of*}"
    else
        cat "$log" >&2
        echo "$name doesn't build: make the patch anew" >&2
        exit 1
    fi
    git apply --reverse "$patch"
done
if [ ${#survivors[@]} -gt 0 ]; then
    echo "the virtual world doesn't see: ${survivors[*]}" >&2
    exit 1
fi
echo "${#names[@]} mutants, all found"
