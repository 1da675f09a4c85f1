#!/usr/bin/env bash
# Gives this machine a compiler for wasm32-unknown-unknown where rustup cannot download one.
#
# Debian's rustc-web is a recent stable rustc; it comes without std for wasm, so std is built from
# the matching rust-web-src, once, and laid into that compiler's own sysroot. Afterwards plain
#     cargo +web build --target wasm32-unknown-unknown --target-dir target/wasm
# works, without any unstable flag. Needs root, apt and rustup; a second run is instant.
# `wasm-setup.sh --check` changes nothing and succeeds when all is there.
set -euo pipefail

target=wasm32-unknown-unknown
host=$(uname -m)-unknown-linux-gnu
rustc=/usr/bin/rustc # Debian's, never rustup's
sysroot=/usr/lib/rustlib
std=$sysroot/$target/lib
stamp=$std/.built-for
links=/usr/local/lib/rust-web
base=$(rustup show active-toolchain | cut -d' ' -f1) # cargo and the linker come from here

say() { printf 'wasm-setup: %s\n' "$*" >&2; }

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null; }

# What std must have been built for: a Debian update of the compiler makes it stale.
compiler() {
    "$rustc" -vV | tr '\n' ' '
    dpkg-query -W -f '${Version}' rustc-web 2>/dev/null || true
}

# Not `rustup .. | grep -q`: grep would close the pipe early, and rustup fail for it.
has_toolchain() { [[ $'\n'$(rustup toolchain list) == *$'\n'web* ]]; }

is_ready() {
    [ -x "$rustc" ] && [ -x "$links/bin/cargo" ] && [ -x "$sysroot/$host/bin/rust-lld" ] &&
        [ "$(cat "$stamp" 2>/dev/null || true)" = "$(compiler)" ] &&
        has_toolchain
}

install_compiler() {
    [ ! -x "$rustc" ] || return 0
    say "installing rustc-web"
    apt_get update
    apt_get install -y --no-install-recommends rustc-web
}

# Debian's rustc looks for rust-lld in its sysroot and brings none; rustup's own links its objects.
link_linker() {
    local lld
    [ ! -x "$sysroot/$host/bin/rust-lld" ] || return 0
    mkdir -p "$sysroot/$host/bin"
    lld=$(rustup run "$base" rustc --print sysroot 2>/dev/null || true)/lib/rustlib/$host/bin/rust-lld
    if [ ! -x "$lld" ]; then
        apt_get install -y --no-install-recommends lld-22
        lld=/usr/bin/wasm-ld-22
    fi
    ln -sfn "$lld" "$sysroot/$host/bin/rust-lld"
}

# `cargo +web` is a toolchain of two links: Debian's rustc and the cargo that is here anyway.
link_toolchain() {
    mkdir -p "$links/bin" "$links/lib"
    ln -sfn "$rustc" "$links/bin/rustc"
    ln -sfn "$(rustup which --toolchain "$base" cargo)" "$links/bin/cargo"
    has_toolchain || rustup toolchain link web "$links"
}

# Only library/ out of the large source package.
fetch_source() {
    local version
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    say "fetching the source of std, rust-web-src $version"
    cd "$work"
    # _apt may not write here, so the download runs as root.
    apt-get -qq -o APT::Sandbox::User=root download "rust-web-src=$version" || {
        apt_get update
        apt-get -qq -o APT::Sandbox::User=root download "rust-web-src=$version"
    }
    dpkg-deb --fsys-tarfile rust-web-src_*.deb | tar -x --wildcards './usr/src/rustc-*/library'
    cd - >/dev/null
    mkdir -p "$(dirname "$source_link")"
    ln -sfn "$(echo "$work"/usr/src/rustc-*)" "$source_link"
    made_source_link=yes
}

# Embedded bitcode: without it a later build with `lto = true` cannot take std in.
compile_std() {
    say "building std for $target"
    mkdir -p "$work/stub/src"
    printf '%s\n' '[package]' 'name = "sysroot_stub"' 'version = "0.0.0"' 'edition = "2021"' \
        '[profile.release]' 'opt-level = "s"' '[workspace]' >"$work/stub/Cargo.toml"
    echo '#![no_std]' >"$work/stub/src/lib.rs"
    (cd "$work/stub" && env -u RUSTFLAGS -u CARGO_BUILD_TARGET -u RUSTUP_TOOLCHAIN \
        RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/target" \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=-Cembed-bitcode=yes \
        rustup run "$base" cargo build -q --release -Z build-std=std,panic_abort --target $target)
}

build_std() {
    work=$(mktemp -d)
    source_link=$sysroot/src/rust
    made_source_link=
    trap 'rm -rf "$work"; [ -z "$made_source_link" ] || rm -f "$source_link"' EXIT
    [ -e "$source_link/library/Cargo.lock" ] || fetch_source
    compile_std
    rm -rf "$std"
    mkdir -p "$std"
    cp "$work/target/$target"/release/deps/lib*.rlib "$std/"
    rm -f "$std"/libsysroot_stub-*.rlib
    compiler >"$stamp"
}

! is_ready || exit 0
[ "${1:-}" != --check ] || exit 1
install_compiler
link_linker
link_toolchain
[ "$(cat "$stamp" 2>/dev/null || true)" = "$(compiler)" ] || build_std
say "ready: $("$rustc" -V)"
