#!/usr/bin/env bash
# Run vmr_jax.main as N processes on this machine: many hosts in small, over loopback (gloo).
#
# Usage: launch/multihost_cpu.sh N [--devices D] [--dry-run] [-- ARGUMENTS OF vmr_jax.main]
#
#   N            processes
#   --devices D  simulated CPU devices of each process (default 1)
#   --dry-run    print the commands and run nothing
#   --help       this text
#
# Without arguments for main: --config=configs/eva.py. Paths are relative to the project. Under
# runs/multihost_cpu-<time> come the processes' logs, and the run itself unless --workdir is given.
# The terminal shows process 0. When one process fails, the others get 10 seconds to end and are
# then killed; the exit status is that of the first failure. SIGTERM is passed on, so that the
# run saves a checkpoint (exit status 143); Ctrl-C kills all processes at once. It is for trying
# out a run of many hosts: on one machine it is slower than one process.
#
# Needs: vmr_jax installed in $VMR_VENV, .venv or for python3 (launch/local.sh does it); bash 4.4+.

set -euo pipefail

usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

fail() {
  echo "multihost_cpu.sh: $*" >&2
  exit 2
}

is_count() { [[ $1 =~ ^[1-9][0-9]*$ ]]; }

processes='' devices=1 dry=0
while (($#)); do
  case $1 in
    --help | -h) usage && exit ;;
    --dry-run) dry=1 && shift ;;
    --devices)
      devices=${2-}
      is_count "$devices" || fail "--devices is '$devices'; it must be a positive number"
      shift 2
      ;;
    --) shift && break ;;
    *)
      [[ -z $processes ]] || fail "unexpected '$1'; arguments of vmr_jax.main stand after --"
      is_count "$1" || fail "N is '$1'; it must be a positive number"
      processes=$1 && shift
      ;;
  esac
done
[[ -n $processes ]] || fail "how many processes? e.g. launch/multihost_cpu.sh 2 (see --help)"
(($#)) || set -- --config=configs/eva.py

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${VMR_VENV:-.venv}/bin/python
if [[ ! -x $python ]]; then
  [[ -z ${VMR_VENV-} ]] || fail "$python is not there: VMR_VENV is not a virtual environment"
  python=$(command -v python3) || fail "no Python: run launch/local.sh once, or set VMR_VENV"
fi

logs=runs/multihost_cpu-$(date +%Y%m%d-%H%M%S)
free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
port=$("$python" -c "$free_port")
command=("$python" -m vmr_jax.main --coordinator="127.0.0.1:$port" --num_processes="$processes"
  --cpu_devices="$devices")
[[ " $*" == *" --workdir"* ]] || command+=(--workdir="$logs")

if ((dry)); then
  for ((i = 0; i < processes; i++)); do
    printf '%q ' "${command[@]}" --process_id="$i" "$@"
    echo ">$logs/process_$i.log"
  done
  exit
fi

pids=()
end_all() { kill "-$1" "${pids[@]}" 2>/dev/null || true; }
trap 'end_all KILL; exit 130' INT
trap 'end_all TERM' TERM

mkdir -p "$logs"
echo "logs: $logs/process_*.log"
for ((i = 0; i < processes; i++)); do
  if ((i == 0)); then
    "${command[@]}" --process_id=0 "$@" > >(tee "$logs/process_0.log") 2>&1 &
  else
    "${command[@]}" --process_id="$i" "$@" >"$logs/process_$i.log" 2>&1 &
  fi
  pids+=($!)
done

status=0 deadline=0
while ((${#pids[@]})); do
  sleep 0.2
  for i in "${!pids[@]}"; do
    if ! kill -0 "${pids[i]}" 2>/dev/null; then
      ended=0
      wait "${pids[i]}" || ended=$?
      unset 'pids[i]'
      ((status)) || status=$ended
    fi
  done
  ((deadline || status == 0)) || deadline=$((SECONDS + 10))
  if ((deadline && SECONDS >= deadline)); then end_all KILL; fi
done
wait
((status == 0)) || echo "multihost_cpu.sh: exit status $status; see $logs/process_*.log" >&2
exit "$status"
