#!/bin/sh
# Installs what this machine lacks to run Tollgate, and nothing else: Debian packages, then npm packages.
# `make demo`, `make test` and `make up` call it first; when nothing is missing it costs a few milliseconds.
#
# What it changes outside the checkout: Debian packages that are missing (as root or by sudo). The daemons of the
# packages it installs are neither started nor left enabled: Tollgate starts its own, on its own addresses. A daemon
# that was there before is never touched.
#
# Exit: 0 ready · 69 apt or npm failed (offline?) · 70 installed, yet something is still missing · 77 neither root nor sudo

set -eu
umask 022
cd "$(dirname "$0")/.."

log=.tollgate/bootstrap.log
stamp=node_modules/.tollgate-lock
policy=/usr/sbin/policy-rc.d
policy_mark="# made by tollgate's scripts/bootstrap.sh, removed when it ends"
policy_is_ours=no
sudo=""

say() { printf '%s\n' "tollgate: $*"; }
stop() {
  code=$1
  shift
  printf '%s\n' "tollgate: $*" >&2
  exit "$code"
}
has() { command -v "$1" >/dev/null 2>&1; }

# command | Debian package | unit and init script of its daemon, or - | why
needs() {
  cat <<'TABLE'
etcd|etcd-server|etcd|keeps configuration and who owns what
redis-server|redis-server|redis-server|keeps call checkpoints and queue state
rtpengine|rtpengine-daemon|rtpengine-daemon|the media edge: every outside RTP stream ends there
sipp|sip-tester|-|plays the carrier and the phones in demo, tests and capacity runs
tcpdump|tcpdump|-|captures what a drill's calls say and hear
sngrep|sngrep|-|reads what the sip-server sends to a capture collector, in its test
espeak-ng|espeak-ng|-|speaks the prompts that are written as text
openssl|openssl|-|makes the development certificates
baresip|baresip-core|-|the softphone that calls over TLS in tests
setpriv|util-linux|-|ends every process of ours when the one that started it dies
TABLE
  # npm's `node` package brings Node 24; something must run npm before it is there.
  if ! [ -x node_modules/.bin/node ] || npm_is_stale; then
    echo 'node|nodejs|-|runs npm (npm then brings Node 24 for this checkout alone)'
    echo 'npm|npm|-|installs the JavaScript packages'
    if ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then
      echo 'no-certificates|ca-certificates|-|lets npm check who it talks to'
    fi
  fi
}

missing() {
  needs | while IFS='|' read -r command package unit why; do
    has "$command" || printf '%s|%s|%s\n' "$package" "$unit" "$why"
  done
}

lock_sum() { cksum <package-lock.json; }

# Stale: no packages, or packages of another package-lock.json than today's.
npm_is_stale() {
  [ -x node_modules/.bin/node ] || return 0
  if [ -f "$stamp" ]; then
    [ "$(cat "$stamp")" != "$(lock_sum)" ]
  else # somebody ran npm by hand
    ! [ -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]
  fi
}

get_root() {
  [ "$(id -u)" = 0 ] && return 0
  if has sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; }; then
    sudo=sudo
    return 0
  fi
  stop 77 "cannot install packages: neither root nor able to sudo. Ask whoever administers this machine for:
  apt-get install --no-install-recommends $1"
}

# invoke-rc.d asks this file before it starts a daemon; 101 means "no".
forbid_daemons() {
  [ -e "$policy" ] && return 0
  policy_is_ours=yes
  printf '#!/bin/sh\n%s\n# process %s\nexit 101\n' "$policy_mark" "$$" | $sudo tee "$policy" >/dev/null
  $sudo chmod 755 "$policy"
}
allow_daemons() {
  [ "$policy_is_ours" = yes ] || return 0
  policy_is_ours=no
  if grep -qF "$policy_mark" "$policy" 2>/dev/null; then $sudo rm -f "$policy"; fi
}

# One that a run of ours left behind because it was killed outright.
sweep_policy() {
  [ -e "$policy" ] && grep -qF "$policy_mark" "$policy" || return 0
  ! kill -0 "$(sed -n 's/^# process //p' "$policy")" 2>/dev/null || return 0
  if [ "$(id -u)" = 0 ]; then
    rm -f "$policy"
  elif has sudo; then
    sudo -n rm -f "$policy" 2>/dev/null || true
  fi
}

apt_install() {
  # shellcheck disable=SC2086 # a list of package names
  $sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 \
    install -y --no-install-recommends $1 >>"$log" 2>&1 </dev/null
}

install_packages() {
  list=$1
  packages=$(printf '%s\n' "$list" | cut -d'|' -f1 | tr '\n' ' ')
  has apt-get || stop 69 "this is no Debian (no apt-get): please install what provides: $packages"
  get_root "$packages"
  printf '%s\n' "$list" | while IFS='|' read -r package unit why; do say "installing $package: $why"; done

  trap allow_daemons EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  forbid_daemons
  if ! apt_install "$packages"; then
    say "apt could not; trying again with fresh package lists"
    $sudo env LC_ALL=C apt-get -o DPkg::Lock::Timeout=120 update >>"$log" 2>&1 </dev/null || true
    apt_install "$packages" || {
      grep -E '^(E|Err|W):' "$log" | tail -5 >&2 || true
      if grep -qE 'Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable' "$log"; then
        stop 69 "apt could not reach its mirror: this machine seems to be offline. Everything it said: $log"
      fi
      stop 69 "apt could not install: $packages(everything it said: $log)"
    }
  fi
  allow_daemons
  trap - EXIT INT TERM HUP
  printf '%s\n' "$list" | while IFS='|' read -r package unit why; do
    [ "$unit" = - ] || retire_daemon "$unit"
  done
}

# Only for a daemon whose package was installed just now: it must neither run nor come back with the next boot.
retire_daemon() {
  if [ -d /run/systemd/system ] && has systemctl; then
    $sudo systemctl disable --now "$1" >>"$log" 2>&1 </dev/null || true
  else
    # Without systemd: the package may have been started all the same, by a policy-rc.d that was there before us.
    if [ -x "/etc/init.d/$1" ]; then $sudo "/etc/init.d/$1" stop >>"$log" 2>&1 </dev/null || true; fi
    if has update-rc.d; then $sudo update-rc.d "$1" disable >>"$log" 2>&1 </dev/null || true; fi
  fi
}

install_npm() {
  say "installing the JavaScript packages of package-lock.json (npm ci)"
  if ! npm ci --no-audit --no-fund --loglevel=error >>"$log" 2>&1 </dev/null; then
    tail -8 "$log" >&2
    stop 69 "npm could not install the packages (offline? everything it said: $log)"
  fi
  lock_sum >"$stamp"
}

main() {
  sweep_policy
  list=$(missing)
  stale=no
  if npm_is_stale; then stale=yes; fi
  [ -n "$list" ] || [ "$stale" = yes ] || return 0

  [ -d .tollgate ] || mkdir -m 700 .tollgate || stop 77 "cannot write into the checkout $PWD"
  true >"$log" || stop 77 "cannot write $PWD/$log: does the checkout belong to somebody else?"
  if [ -n "$list" ]; then install_packages "$list"; fi
  if [ "$stale" = yes ]; then install_npm; fi

  list=$(missing)
  [ -z "$list" ] || stop 70 "still missing after the installation: $(printf '%s\n' "$list" | cut -d'|' -f1 | tr '\n' ' ')"
  node_modules/.bin/node --version | grep -qE '^v(2[4-9]|[3-9][0-9])' ||
    stop 70 "node_modules/.bin/node does not run, or is older than 24 (see $log)"
  say "everything is there"
}

main
