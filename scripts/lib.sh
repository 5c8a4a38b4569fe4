# Shared by the scripts beside it; sourced, not run. Callers stand in the repository's root.
# shellcheck shell=bash

RUST_MIN=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
NODE_MIN=18.19
REDIS_MIN=7.0
CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least HAVE WANTED: compares dotted versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# apt_install PACKAGE...: installs what is missing, on Debian and its children.
apt_install() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    have apt-get || { say "please install: ${missing[*]} (this is no Debian, so nothing was tried)"; return 1; }
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        have sudo || { say "please install as root: apt-get install ${missing[*]}"; return 1; }
        sudo=(sudo)
    fi
    say "installing ${missing[*]}"
    if [ -z "${APT_UPDATED:-}" ]; then
        "${sudo[@]}" apt-get update -qq || return 1
        APT_UPDATED=1
    fi
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A compiler and linker for C, and make: some crates bring C code, and Rust links with cc.
ensure_cc() { { have cc && have make; } || apt_install gcc libc6-dev make; }

# Rust, at least Cargo.toml's rust-version. rustup's where it is; else Debian's own current build.
# ensure_rust [PACKAGE...]: Debian packages wanted beside the compiler.
ensure_rust() {
    [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
    if ! have cargo; then
        say "no Rust here: trying Debian's cargo-web (rustup.rs is the other way)"
        apt_install cargo-web rustc-web "$@" || return 1
    elif [ "$(command -v cargo)" = /usr/bin/cargo ] && [ $# -gt 0 ]; then
        apt_install "$@" || return 1
    fi
    local version
    version=$(rustc --version | cut -d' ' -f2)
    at_least "$version" "$RUST_MIN" && return 0
    say "rustc is $version, Ruang needs $RUST_MIN or newer: rustup update stable (https://rustup.rs)"
    return 1
}

ensure_node() {
    if ! have node || ! have npm; then
        apt_install nodejs npm || return 1
    fi
    local version
    version=$(node --version | tr -d v)
    at_least "$version" "$NODE_MIN" && return 0
    say "node is $version, the client tests need $NODE_MIN or newer"
    return 1
}

# A Redis server for tests/redis, at least the version that Ruang needs, which is a sentinel too; and openssl, for
# certificates. The system's own server is not started by us.
ensure_redis() {
    have redis-server || apt_install redis-server || return 1
    have openssl || apt_install openssl || return 1
    local version
    version=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\) .*/\1/p')
    at_least "$version" "$REDIS_MIN" && return 0
    say "redis-server is $version, the tests need $REDIS_MIN or newer"
    return 1
}

# The proxies of tests/clients that are Debian packages. The tests start their own; where a machine starts what is
# installed, it also runs theirs.
ensure_proxies() {
    [ -x /usr/sbin/nginx ] || have nginx || apt_install nginx || return 1
    have caddy || apt_install caddy || return 1
}

# ensure_node_packages FOLDER...: the Node packages of each, exactly as locked. Repeated only when a lock changed.
ensure_node_packages() {
    ensure_node || return 1
    local folder stamp
    for folder in "$@"; do
        stamp=$folder/node_modules/.installed-lock
        cmp -s "$folder/package-lock.json" "$stamp" && continue
        npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error || return 1
        cp "$folder/package-lock.json" "$stamp"
    done
}

# The browser of tests/browser. CHROMIUM names another one than Debian's.
ensure_chromium() { [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || apt_install chromium; }

# The Python of tests/clients/lib/pycrdt.child.py, with the packages of requirements.txt. Repeated only when those changed.
ensure_python_packages() {
    local venv=tests/clients/.venv wanted=tests/clients/requirements.txt
    [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/.installed" && return 0
    have python3 || apt_install python3 || return 1
    # Debian has the module that puts pip into a venv in a package of its own.
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv || return 1
    rm -rf "$venv"
    python3 -m venv "$venv" || return 1
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" || return 1
    cp "$wanted" "$venv/.installed"
}

# cargo-deny as a debug build: 50 s on two cores, and it runs for one second.
ensure_cargo_deny() {
    local found
    found=$(cargo deny --version 2>/dev/null | cut -d' ' -f2) || true
    [ -n "$found" ] && at_least "$found" "$CARGO_DENY_VERSION" && return 0
    say "building cargo-deny $CARGO_DENY_VERSION"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install --quiet --locked --debug --force "cargo-deny@$CARGO_DENY_VERSION" || return 1
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
}

# cargo-fuzz, as a debug build: it only calls others.
ensure_cargo_fuzz() {
    local found
    found=$(cargo fuzz --version 2>/dev/null | cut -d' ' -f2) || true
    [ -n "$found" ] && at_least "$found" "$CARGO_FUZZ_VERSION" && return 0
    say "building cargo-fuzz $CARGO_FUZZ_VERSION"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install --quiet --locked --debug --force "cargo-fuzz@$CARGO_FUZZ_VERSION" || return 1
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
}

# Bytes of wasm and glue that browsers load, gzipped, at most (docs/decisions/0022-client-core.md); and where the standard library
# is rustup's, which is not built for size: for people at work, never published. Programs that gzip differ by half a percent: the
# bundle, which is gzipped in Rust, has to leave that to the package's test, which has Node's.
CLIENT_GZIP_BYTES_MAX=180000
CLIENT_GZIP_BYTES_MAX_RUSTUP=300000

# wasm_cargo ARGUMENT...: cargo for wasm32, with rustup's compiler or, without one or with WASM_TOOLCHAIN=debian, Debian's.
wasm_cargo() {
    local target=wasm32-unknown-unknown
    local build=(cargo "$@" --target "$target" --target-dir target/wasm)
    if have rustup && rustup target list --installed | grep -qx "$target"; then
        "${build[@]}"
    elif [ "${WASM_TOOLCHAIN:-}" = debian ] || ! have rustup; then
        wasm_debian "${build[@]}"
    elif timeout 120 rustup target add "$target"; then
        "${build[@]}"
    else
        wasm_debian "${build[@]}"
    fi
}

# Debian's current Rust (it builds Debian's browsers with it) and the sources of the standard library. `fmt-debug=none`: what is
# formatted with {:?} is left empty in the browser, and with it stay out the tables of which characters can be printed.
wasm_debian() {
    WASM_WAY=debian
    apt_install rustc-web rust-web-src || return 1
    local llvm
    llvm=$(/usr/bin/rustc -Vv | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    apt_install "lld-$llvm" || return 1
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=/usr/bin/wasm-ld-$llvm RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none" \
        "$@" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size
}

# What browsers load of client-wasm, in client-wasm/npm/wasm. Says its size; fails if it is too large.
client_bundle() {
    wasm_cargo rustc --locked -p ruang-client --lib --crate-type cdylib --profile wasm || return 1
    cargo build --locked -p ruang-client --features bundle --bin bundle || return 1
    local made max=$CLIENT_GZIP_BYTES_MAX_RUSTUP
    [ "${WASM_WAY:-}" = debian ] && max=$((CLIENT_GZIP_BYTES_MAX * 99 / 100))
    made=$(mktemp -d) || return 1
    target/debug/bundle target/wasm/wasm32-unknown-unknown/wasm/ruang_client.wasm "$made" "$max" || return 1
    # Into its place as a whole: tests may be reading the one before.
    mkdir -p client-wasm/npm/wasm
    local file
    for file in "$made"/*; do
        chmod 644 "$file" && mv -f "$file" client-wasm/npm/wasm/ || return 1
    done
    rmdir "$made"
}

# kill_trials N: a server of its own, killed with -9 N times while people write; fails if anything
# that another client had received, or that was acknowledged, is missing afterwards.
kill_trials() {
    "$RUANG_BIN" load --kill-trial "$1" --rooms 4 --clients 4 --writers 2 --rate 200 \
        --server-cmd "$RUANG_BIN serve --listen 127.0.0.1:{port} --store file:{dir}"
}
