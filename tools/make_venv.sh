#!/bin/sh
# Creates the virtual environment in $1 from requirements.lock (every file hashed), then lezgate itself, editable.
set -eu
venv=$1
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "lezgate needs Python 3.11 or newer; set PYTHON=... | 需要 Python 3.11 或更高版本，可用 PYTHON=... 指定" >&2
  exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  # Debian ships ensurepip in a package of its own.
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq python3-venv
  else
    echo "Python's venv module is missing: install python3-venv | 缺少 venv 模块，请先安装 python3-venv" >&2
    exit 1
  fi
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index --editable .
