#!/usr/bin/env bash
# Train on a Cloud TPU slice or pod: vmr_jax.main on every worker, resumed after pre-emption.
#
# Usage: launch/tpu_pod.sh --name NAME --zone ZONE --bucket BUCKET
#                          [--type TYPE --version VERSION [--spot]] [--project PROJECT]
#                          [--workdir PATH] [--delete] [--dry-run] [-- ARGUMENTS OF vmr_jax.main]
#
#   --name NAME        queued resource and TPU VM of this name
#   --zone ZONE        e.g. us-west4-a
#   --bucket BUCKET    Cloud Storage bucket (without gs://), mounted on every worker at /mnt/vmr
#   --type TYPE        accelerator type of a queued resource to ask for, e.g. v5litepod-16;
#                      without it NAME is a TPU VM that is already there
#   --version VERSION  its runtime version, e.g. v2-alpha-tpuv5-lite
#   --spot             ask for spot capacity: cheaper, may be pre-empted at any time
#   --project PROJECT  Google Cloud project (default: the one gcloud is set to)
#   --workdir PATH     the run's folder in the bucket (default runs/NAME)
#   --delete           give the queued resource back after the run
#   --dry-run          print every command and run nothing
#   --help             this text
#
# What it does: asks for the queued resource and waits for it; copies the project as of HEAD to
# all workers, installs it there (tpu_worker.sh) and mounts the bucket; starts main on all workers
# with --workdir in the bucket, which all of them see, as the checkpoints of many hosts need;
# shows the output. After a pre-emption it asks anew and runs the same command, which resumes. A
# broken connection does not stop the run: this script, and the same command later, attach to it.
# In the end the run's folder is copied to PATH here. Data of your own belong in the bucket:
# --config.data_dir=/mnt/vmr/data.
#
# Needs: gcloud (logged in, TPU API enabled, quota for TYPE), git; the TPU's service account may
# read and write objects of the bucket (roles/storage.objectUser); workers that reach the internet.

set -euo pipefail

usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

fail() {
  echo "tpu_pod.sh: $*" >&2
  exit 2
}

say() { echo "tpu_pod.sh: $*" >&2; }

run() {
  if ((dry)); then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

name='' zone='' bucket='' type='' version='' workdir='' spot=0 delete=0 dry=0 project=()
while (($#)); do
  case $1 in
    --help | -h) usage && exit ;;
    --spot) spot=1 && shift ;;
    --delete) delete=1 && shift ;;
    --dry-run) dry=1 && shift ;;
    --name | --zone | --bucket | --type | --version | --project | --workdir)
      [[ -n ${2-} && $2 != --* ]] || fail "$1 needs a value (see --help)"
      case $1 in
        --project) project=(--project="$2") ;;
        *) printf -v "${1#--}" '%s' "$2" ;;
      esac
      shift 2
      ;;
    --) shift && break ;;
    *) fail "unknown argument '$1'; arguments of vmr_jax.main stand after --" ;;
  esac
done
for required in name zone bucket; do
  [[ -n ${!required} ]] || fail "--$required is missing (see --help)"
done
[[ -z $type && -z $version || -n $type && -n $version ]] ||
  fail "--type and --version go together; without both, NAME is a TPU VM that is already there"
[[ -n $type ]] || ((!spot && !delete)) || fail "--spot and --delete need --type and --version"
[[ $bucket != gs://* ]] || fail "--bucket is the bucket's name without gs://"
[[ " $*" != *" --workdir"* ]] || fail "give --workdir before --, as a path in the bucket"
workdir=${workdir:-runs/$name}
[[ $workdir != /* ]] || fail "--workdir is a path in the bucket, such as runs/$name"
(($#)) || set -- --config=configs/eva.py

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=TEMPORARY
if ((!dry)); then
  for tool in gcloud git; do
    command -v "$tool" >/dev/null || fail "$tool is not there: install it first"
  done
  [[ -z $(git status --porcelain) ]] ||
    fail "the working tree has changes, but the workers get HEAD: commit them first"
  scratch=$(mktemp -d)
  trap 'rm -rf -- "$scratch"' EXIT
fi

where=(--zone="$zone" "${project[@]}")
queue=(gcloud compute tpus queued-resources)
vm=(gcloud compute tpus tpu-vm)

# Sets `state` to the resource's state, NONE if there is none. A dry run takes the usual course.
expected=(NONE ACTIVE)
look() {
  local query=("${queue[@]}" describe "$name" "${where[@]}" '--format=value(state.state)')
  [[ -n $type ]] || query=("${vm[@]}" describe "$name" "${where[@]}" '--format=value(state)')
  if ((dry)); then
    run "${query[@]}"
    state=${expected[0]}
    expected=("${expected[@]:1}")
  else
    state=$("${query[@]}" 2>/dev/null) || state=NONE
  fi
}

is_ready() { [[ $state == ACTIVE || $state == READY ]]; }

release() { run "${queue[@]}" delete "$name" "${where[@]}" --force --quiet; }

acquire() {
  [[ -n $type ]] || expected=(READY)
  look
  if [[ -z $type ]]; then
    is_ready || fail "the TPU VM $name is $state, not READY: recreate it, then run this again"
    return
  fi
  case $state in
    SUSPENDING | SUSPENDED | FAILED | DELETING)
      say "queued resource $name is $state: asking anew"
      release
      state=NONE
      ;;
  esac
  if [[ $state == NONE ]]; then
    local tier=()
    ((!spot)) || tier=(--spot)
    run "${queue[@]}" create "$name" --node-id="$name" "${where[@]}" --accelerator-type="$type" \
      --runtime-version="$version" "${tier[@]}"
    look
  fi
  until is_ready; do
    case $state in
      SUSPENDING | SUSPENDED | FAILED | NONE) fail "queued resource $name is $state" ;;
    esac
    say "queued resource $name is $state"
    sleep 30
    look
  done
}

on_workers() { run "${vm[@]}" ssh "$name" "${where[@]}" --worker=all --command="$1"; }

install() {
  local archive=$scratch/vmr_jax.tar.gz
  run git archive --format=tar.gz --output="$archive" HEAD &&
    run "${vm[@]}" scp "$archive" "$name:vmr_jax.tar.gz" "${where[@]}" --worker=all &&
    on_workers "mkdir -p vmr_jax && tar -xzf vmr_jax.tar.gz -C vmr_jax" &&
    on_workers "bash vmr_jax/launch/tpu_worker.sh install $(printf '%q' "$bucket")"
}

train() {
  local arguments
  arguments=$(printf ' %q' --workdir="/mnt/vmr/$workdir" "$@")
  on_workers "bash vmr_jax/launch/tpu_worker.sh run$arguments"
}

collect() {
  run mkdir -p "$workdir"
  run gcloud storage rsync --recursive "gs://$bucket/$workdir" "$workdir" "${project[@]}"
}

# 143: a signal stopped main after a checkpoint; 255: ssh lost the worker. With the TPU still
# there, the same command goes on; with the TPU gone, so does it on the next one.
lost=0 installed=0
while true; do
  acquire
  status=0
  if ((!installed)); then install || status=$?; fi
  if ((status == 0)); then
    installed=1
    train "$@" || status=$?
    ((status)) || break
  fi
  look
  if ! is_ready; then
    say "the TPU is gone ($state): pre-empted"
    installed=0
  elif ((status == 255)); then
    lost=$((lost + 1))
    ((lost < 20)) || fail "no connection to the workers after $lost attempts"
    say "connection lost: attaching again"
  elif ((status != 143)); then
    ((!installed)) || collect || true
    say "exit status $status on a worker: see its output above; the TPU $name is still yours"
    exit "$status"
  fi
  sleep 30
done

collect
if ((dry)) && [[ -n $type ]]; then
  say "after a pre-emption: the following, then all of the above again"
  release
elif ((delete)); then
  release
elif [[ -n $type ]]; then
  say "the TPU is still yours and paid for; give it back with:"
  dry=1
  release >&2
fi
