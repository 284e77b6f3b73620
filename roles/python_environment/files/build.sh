#!/bin/sh
# Builds a Python environment: build.sh BUILD PYTHON ENVIRONMENT PROOF PACKAGE
# BUILD has the locks of uv and of the environment, and PACKAGE, if that is not empty.
set -eu
build=$1 python=$2 environment=$3 proof=$4 package=$5

echo "uv, which installs the rest" >&2
"$python" -m venv --clear "$build/uv"
"$build/uv/bin/pip" install --quiet --require-hashes --requirement="$build/uv.txt"

echo "the packages of the lock" >&2
"$python" -m venv --clear --without-pip "$environment"
uv_install() { "$build/uv/bin/uv" pip install --quiet --link-mode=copy --python="$environment/bin/python" "$@"; }
uv_install --require-hashes --requirement="$build/requirements.txt"
[ -z "$package" ] || uv_install --no-deps --offline "$build/$package"

echo "the bytecode" >&2
# Nobody imports the tests of packages, which are a fifth of all code. What has the syntax of another Python is in
# some packages, and no error.
"$environment/bin/python" -m compileall -qq -j 0 -x '/tests/' "$environment/lib" || true

echo "the proof" >&2
"$environment/bin/python" -c "$proof"
install -m 0444 /dev/null "$environment/.complete"
