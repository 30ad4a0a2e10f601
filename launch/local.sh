#!/usr/bin/env bash
# Install vmr_jax in a virtual environment and run it on this machine.
#
# Usage: launch/local.sh [--extra cuda|tpu] [--dry-run] [ARGUMENTS OF vmr_jax.main]
#
#   --extra NAME  also install what JAX needs for that device: cuda or tpu
#   --dry-run     print the commands and run nothing
#   --help        this text; `launch/local.sh -- --help` is the help of vmr_jax.main
#
# Without arguments for main it trains EVA on the simulated pair: --config=configs/eva.py. Paths
# are relative to the project.
# The environment is made once, in .venv or $VMR_VENV, and again when pyproject.toml changes.
#
# Needs: Python 3.11 or newer with venv, as python3 or $PYTHON.

set -euo pipefail

usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

fail() {
  echo "local.sh: $*" >&2
  exit 2
}

run() {
  if ((dry)); then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

extra='' dry=0
while (($#)); do
  case $1 in
    --help | -h) usage && exit ;;
    --dry-run) dry=1 && shift ;;
    --extra)
      extra=${2-}
      [[ $extra == cuda || $extra == tpu ]] || fail "--extra is '$extra'; choose cuda or tpu"
      shift 2
      ;;
    --) shift && break ;;
    *) break ;;
  esac
done
(($#)) || set -- --config=configs/eva.py

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
venv=${VMR_VENV:-.venv}
stamp=$venv/.vmr_jax_extra

command -v "$python" >/dev/null || fail "$python is not there: install Python 3.11+ or set PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old: install Python 3.11 or newer, or set PYTHON to one"

if [[ ! -x $venv/bin/python ]]; then
  run "$python" -m venv "$venv" || fail "no venv was made; on Debian: apt install python3-venv"
fi
if [[ ! $stamp -nt pyproject.toml || $(<"$stamp") != "$extra" ]]; then
  run "$venv/bin/python" -m pip install --quiet -e ".${extra:+[$extra]}"
  ((dry)) || echo "$extra" >"$stamp"
fi
((dry)) || exec "$venv/bin/python" -m vmr_jax.main "$@"
run "$venv/bin/python" -m vmr_jax.main "$@"
