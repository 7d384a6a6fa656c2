#!/usr/bin/env bash
# Runs all tests on a Debian machine on which nothing was prepared but git and the Rust toolchain (rustup).
#
# Installs what is missing (as root, or with sudo): Debian packages of the outside parties, and under target/ a Python
# environment with the ones from PyPI, a folder with the ones from npm, and what is only unpacked. Runs the Rust tests, then
# tests/outside against the binary that they built. That is the dev profile, once: its overflow checks and assertions see
# more, and a clean checkout need not build twice.
#
#   ./test.sh                 everything
#   ./test.sh -k dkim         everything in Rust, and the outside tests that pytest selects with these words
#   SKIP_RUST=1 ./test.sh     the outside tests alone, against the binary that is there (or MAILSLUICE_BIN)
set -euo pipefail
cd "$(dirname "$0")"

target=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$target
# Debian keeps daemons and administrators' tools where a user's PATH does not look.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

fail() {
    printf 'test.sh: %s\n' "$*" >&2
    exit 1
}

# Interrupted or not, nothing stays behind that was made for the time of a run alone.
policy=/usr/sbin/policy-rc.d
made_policy=
remove_policy() {
    [ -z "$made_policy" ] || "${as_root[@]}" rm -f "$policy"
    made_policy=
}
trap remove_policy EXIT
trap 'exit 130' INT TERM HUP

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "root or sudo is needed: Postfix, strace and the packages want it"
    as_root=(sudo --preserve-env=PATH,CARGO_TARGET_DIR,MAILSLUICE_BIN,CRASH_ROUNDS,CRASH_SEED,CRASH_ALL,SOAK_MINUTES,SOAK_SEED,OPERATE_SEED,RELOAD_SEED,PYTHONDONTWRITEBYTECODE)
fi

# command that must be there, and the Debian package that brings it
needs=(
    postfix:postfix smtp-sink:postfix swaks:swaks curl:curl msmtp:msmtp opendkim:opendkim
    opendkim-testmsg:opendkim-tools saslpasswd2:sasl2-bin strace:strace openssl:openssl cc:gcc python3:python3
    node:nodejs npm:npm php:php-cli go:golang-go dovecot:dovecot-core nsd:nsd systemd-analyze:systemd
)
# Packages without a command of their own; swaks needs libnet-ssleay-perl for TLS.
modules=(libsasl2-modules libc6-dev libnet-ssleay-perl libphp-phpmailer dovecot-submissiond libgsasl18 dovecot-imapd)

install_packages() {
    local missing=() need module
    for need in "${needs[@]}"; do
        command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
    done
    for module in "${modules[@]}"; do
        dpkg -s "$module" >/dev/null 2>&1 || missing+=("$module")
    done
    # A python3 of the user's own brings venv along; Debian's has it in a package.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    command -v apt-get >/dev/null || fail "missing, and this is no Debian: ${missing[*]}"
    printf 'test.sh: installing %s\n' "${missing[*]}" >&2
    local log=$target/packages.log
    mkdir -p "$target"
    # The packages' daemons are not to start: the tests run their own, in folders of their own.
    if [ ! -e "$policy" ]; then
        made_policy=1
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    local status=0
    {
        echo 'postfix postfix/main_mailer_type select Local only' | "${as_root[@]}" debconf-set-selections &&
            echo 'postfix postfix/mailname string localhost' | "${as_root[@]}" debconf-set-selections &&
            "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null || status=$?
    remove_policy
    [ $status -eq 0 ] || { tail -n 30 "$log" >&2; fail "the packages could not be installed (the whole log: $log)"; }
    for need in "${needs[@]}"; do
        command -v "${need%%:*}" >/dev/null || fail "${need%%:*} is still missing after installing ${need#*:}"
    done
}

install_python() {
    local wanted=tests/outside/requirements.txt
    venv=$target/outside-venv
    # A half-made environment has no stamp and is made again.
    if ! cmp -s "$wanted" "$venv/installed.txt"; then
        rm -rf "$venv"
        python3 -m venv "$venv" || fail "python3 -m venv failed"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" || fail "pip could not install $wanted"
        cp "$wanted" "$venv/installed.txt"
    fi
}

install_node() {
    local wanted=tests/outside/node/package-lock.json folder=$target/outside-node
    if ! cmp -s "$wanted" "$folder/installed.json"; then
        rm -rf "$folder"
        mkdir -p "$folder"
        cp tests/outside/node/package.json "$wanted" "$folder/"
        # None of the packages needs to run anything to be installed.
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
            fail "npm could not install what $wanted names"
        cp "$wanted" "$folder/installed.json"
    fi
}

# nullmailer and Postfix exclude each other, so it is unpacked and not installed: the tests run its sending part alone.
# libfaketime is for the relay of one test alone.
unpack() {
    tests/outside/unpack "$target/outside-$1" "$1" >"$target/$1.log" 2>&1 </dev/null ||
        { tail -n 30 "$target/$1.log" >&2; fail "$1 could not be unpacked (the whole log: $target/$1.log)"; }
}

command -v cargo >/dev/null || fail "cargo is missing: install rustup (https://rustup.rs); rust-toolchain.toml names the version"
install_packages
install_python
install_node
unpack nullmailer
unpack libfaketime

if [ -z "${SKIP_RUST:-}" ]; then
    cargo test --locked
fi
[ -x "${MAILSLUICE_BIN:-$target/debug/mailsluice}" ] || fail "no binary at ${MAILSLUICE_BIN:-$target/debug/mailsluice}"
export PYTHONDONTWRITEBYTECODE=1
# Two files at a time: most of the time they wait for timers and processes. What a file shares it starts once.
"${as_root[@]}" "$venv/bin/python" -m pytest -c tests/outside/pytest.ini -n 2 --dist loadfile tests/outside "$@"
