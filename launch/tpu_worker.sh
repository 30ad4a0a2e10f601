#!/usr/bin/env bash
# One TPU worker's part of launch/tpu_pod.sh; it runs on the worker, in the copied project.
#
# Usage: launch/tpu_worker.sh install BUCKET
#        launch/tpu_worker.sh run ARGUMENTS OF vmr_jax.main
#
#   install  mount the bucket at /mnt/vmr (Cloud Storage FUSE), make .venv with vmr_jax[tpu]
#   run      start main in the background, or attach to the same command if it is running; show
#            its output; exit with its status
#   --help   this text
#
# Needs: an Ubuntu TPU VM with sudo and internet access. uv brings Python 3.12 along, for the
# VM images have older ones.

set -euo pipefail

usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

fail() {
  echo "tpu_worker.sh: $*" >&2
  exit 2
}

install_gcsfuse() {
  local packages=https://packages.cloud.google.com/apt key=/usr/share/keyrings/cloud.google.asc
  local apt=(sudo apt-get -o DPkg::Lock::Timeout=600 --quiet --yes)
  curl -fsSL "$packages/doc/apt-key.gpg" | sudo tee "$key" >/dev/null
  echo "deb [signed-by=$key] $packages gcsfuse-$(lsb_release -cs) main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
  "${apt[@]}" update
  "${apt[@]}" install gcsfuse
}

# A checkpoint is finished by renaming its folder; no caching, for the workers share the files.
mount_bucket() {
  if mountpoint -q /mnt/vmr; then return; fi
  sudo mkdir -p /mnt/vmr
  sudo chown "$(id -u):$(id -g)" /mnt/vmr
  gcsfuse --implicit-dirs --rename-dir-limit=200000 --metadata-cache-ttl-secs=0 \
    --metadata-cache-negative-ttl-secs=0 "$1" /mnt/vmr
}

install() {
  command -v gcsfuse >/dev/null || install_gcsfuse
  mount_bucket "$1"
  command -v uv >/dev/null || curl -fsSL https://astral.sh/uv/install.sh | sh
  uv venv --quiet --allow-existing --python 3.12 .venv
  uv pip install --quiet --python .venv/bin/python -e '.[tpu]'
}

is_running() { [[ -s main.pid ]] && kill -0 "$(<main.pid)" 2>/dev/null; }

start() {
  rm -f main.status
  : >main.log
  # shellcheck disable=SC2016 # the inner shell expands them
  nohup bash -c '"$@"; echo $? >main.status' main \
    .venv/bin/python -m vmr_jax.main --num_processes=0 "$@" </dev/null >main.log 2>&1 &
  echo $! >main.pid
  echo "$*" >main.arguments
}

attach() {
  [[ $(<main.arguments) == "$*" ]] ||
    fail "this worker is running something else: $(<main.arguments); stop it first, with
  kill -TERM \$(pgrep -P $(<main.pid))   on every worker"
  echo "attached to the running main"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$HOME/.local/bin:$PATH
case ${1-} in
  --help | -h) usage ;;
  install)
    [[ -n ${2-} ]] || fail "install needs the bucket's name"
    install "$2"
    ;;
  run)
    shift
    if is_running; then attach "$@"; else start "$@"; fi
    tail -n 50 -f --pid="$(<main.pid)" main.log
    exit "$(cat main.status 2>/dev/null || echo 1)"
    ;;
  *) fail "say install or run (see --help)" ;;
esac
