# shellcheck shell=bash
# What the scripts share: setting up this machine, and steps that show progress.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
# A caller's settings of Ansible or molecule must not leak into the lab.
for name in $(compgen -e | grep -E '^(ANSIBLE|MOLECULE)_' || true); do unset "$name"; done
export ANSIBLE_CONFIG=$root/ansible.cfg LC_ALL=C.UTF-8 PATH=$root/.venv/bin:$PATH
# The packages that nodes download are kept here, and every node gets this folder.
uv_cache=${XDG_CACHE_HOME:-$HOME/.cache}/caspian-deploy/uv
logs=$root/.lab/log

say() { printf '%s\n' "$*"; }
fail() { printf '\n%s\n' "$@" >&2; exit 1; }

# The last task or play that an Ansible log names, or else the log's last line.
progress_of() {
  local line
  line=$(grep -aE '^(TASK|PLAY|RUNNING HANDLER) ' "$1" | tail -n 1)
  [ -n "$line" ] || line=$(tail -n 1 "$1")
  printf '%.90s' "$(printf '%s' "$line" | sed -E 's/^[A-Z ]+\[(caspian\.airflow\.)?//; s/\] \**$//; s/[[:cntrl:]]//g')"
}

# step TEXT COMMAND...: runs the command with its output in a log, shows that it goes on, and, when
# it fails, the end of the log and where all of it is.
step() {
  local text=$1 log seconds=0 code=0 pid
  shift
  mkdir -p "$logs"
  log=$logs/$(printf '%s' "$text" | tr -cs '[:alnum:]\n' '-').log
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; wait "$pid"; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    if [ -t 1 ]; then
      printf '\r\033[K  … %s (%d s) %s' "$text" "$seconds" "$(progress_of "$log")"
    elif [ $((seconds % 30)) = 0 ]; then
      say "  … $text ($seconds s) $(progress_of "$log")"
    fi
  done
  wait "$pid" || code=$?
  trap - INT TERM
  [ ! -t 1 ] || printf '\r\033[K'
  if [ "$code" != 0 ]; then
    say "FAILED: $text (after $seconds s, exit code $code). The end of its output:"
    say
    # The reason of a failure stands before Ansible's recap.
    sed '/^PLAY RECAP/,$d' "$log" | grep -av '^$' | tail -n 25 | cut -c1-300 | sed 's/^/    /'
    say
    say "All of it: less ${log#"$root"/}"
    return "$code"
  fi
  say "done: $text ($seconds s)"
}

engine_answers() {
  { command -v podman && podman info; } >/dev/null 2>&1 || { command -v docker && docker info; } >/dev/null 2>&1
}

# Whether a Debian package, or what is wanted of it, is on this machine.
has_package() {
  case $1 in
    python3-venv) python3 -c 'import ensurepip, venv' ;;
    openssh-client) command -v ssh-keygen ;;
    ca-certificates) [ -d /etc/ssl/certs ] ;;
    keepassxc) command -v keepassxc-cli ;;
    git | mmdebstrap | shellcheck | strace) command -v "$1" ;;
    *) dpkg-query --show --showformat='${db:Status-Abbrev}' "$1" | grep '^ii' ;;
  esac >/dev/null 2>&1
}

# need_packages PACKAGE...: installs the Debian packages that are missing.
need_packages() {
  local missing=() package
  for package in "$@"; do
    has_package "$package" || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail \
    "This is not Debian, so packages can't be installed from here. What is missing, by Debian's names:" \
    "  ${missing[*]}" \
    "Install them by other means, then start again."
  [ "$(id -u)" = 0 ] || fail \
    "Packages are missing, and only root can install them. Run this, then start again:" \
    "  sudo apt-get install ${missing[*]}"
  step "update the lists of Debian packages" apt-get update
  step "install ${#missing[@]} Debian packages" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "${missing[@]}"
}

# What the nodes need of this machine: an engine for containers, and a way to make their image.
need_engine() {
  # Without apt, mmdebstrap can not be installed, and the image has to come from a registry.
  engine_answers && { command -v mmdebstrap || ! command -v apt-get; } >/dev/null && return 0
  local packages=(mmdebstrap)
  # netavark takes iptables in Debian 12 and nftables in Debian 13.
  engine_answers || packages+=(podman runc uidmap netavark aardvark-dns iptables nftables)
  need_packages "${packages[@]}"
  engine_answers || fail "podman is installed but does not answer: podman info says" "$(podman info 2>&1 | tail -n 5)"
}

lock_stamp() { cat "requirements/$1.txt" requirements/uv.txt | sha256sum | cut -d' ' -f1; }

# compile_packages ENVIRONMENT: uv leaves that to each start, and a stage starts Ansible hundreds of times. Where
# PYTHONDONTWRITEBYTECODE is set, all of them would compile it anew. Files that are no Python of this version stay as they are.
compile_packages() {
  "$1/bin/python" -m compileall -qq -j 0 -x '/(ansible_collections|tests?)/' "$1/lib" || true
}

# need_tools NAME: the Python tools of this checkout, in .venv, from requirements/NAME.txt. The lock
# `dev` has all that `deploy` has, so an environment of the former serves both.
need_tools() {
  local name=$1 installed
  installed=$(cat .venv/.lock 2>/dev/null || true)
  case $installed in "$(lock_stamp "$name")" | "$(lock_stamp dev)") return 0 ;; esac
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
    "python3 is $(python3 --version 2>&1), and 3.11 or newer is needed."
  if [ ! -x .venv/bin/uv ]; then
    step "make .venv" python3 -m venv --clear .venv
    step "install uv" .venv/bin/pip install --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
  fi
  step "install the Python tools" .venv/bin/uv pip sync --no-config --system-certs --python .venv/bin/python \
    --require-hashes "requirements/$name.txt" requirements/uv.txt
  step "compile the Python tools" compile_packages .venv
  lock_stamp "$name" >.venv/.lock
}

# need_airflow: the packages of the nodes, and what tests need beside them, in .venv-airflow.
need_airflow() {
  local environment=.venv-airflow version stamp
  version=$(python3 -c 'import sys; print(*sys.version_info[:2], sep=".")')
  stamp=$(cat "packages/requirements-py${version/./}.txt" "requirements/authors-py${version/./}.txt" \
    requirements/build.txt 2>/dev/null | sha256sum || true)
  [ "$(cat $environment/.lock 2>/dev/null)" != "$stamp" ] || return 0
  step "make $environment of the nodes' packages" env UV_CACHE_DIR="$uv_cache" \
    python3 scripts/authors/packages.py --python "$version" $environment || return
  printf '%s\n' "$stamp" >$environment/.lock
}

# need_nodes CLUSTER RELEASE NODE...
need_nodes() {
  local cluster=$1 release=$2
  shift 2
  mkdir -p "$uv_cache"
  step "start the nodes $*" scripts/nodes create --cluster "$cluster" --release "$release" \
    --mount "$uv_cache:/var/cache/uv" "$@"
}
