#!/usr/bin/env bash
# Environments for the programs that the benchmarks compare with; none of them is a part of groundbreak.
#   .venv-peers/registration   AROSICS. It imports GDAL's Python binding, which is built here against Debian's libgdal-dev.
#   .venv-peers/series         nrt, pyxccd, odc-stac. pyxccd wants a newer numpy than that binding can be built with.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON="${PYTHON:-python3}"

make_env() {
    "$PYTHON" -m venv --clear ".venv-peers/$1"
    .venv-peers/"$1"/bin/python -m pip install --quiet --disable-pip-version-check "${@:2}"
}

make_env series -r benchmarks/peers/series.txt

command -v gdal-config >/dev/null || { echo 'error: no GDAL headers here (gdal-config): apt-get install libgdal-dev'; exit 2; }
GDAL="gdal==$(gdal-config --version)"
make_env registration 'numpy<2' 'setuptools<70' wheel
pip() { .venv-peers/registration/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
pip --no-build-isolation --no-binary gdal "$GDAL"
.venv-peers/registration/bin/python -c 'from osgeo import gdal_array'
# they ask for GDAL 3.8 for one context manager, which arosics_peer.py supplies
pip --no-deps -r benchmarks/peers/registration.txt
pip -r benchmarks/peers/registration_needs.txt
