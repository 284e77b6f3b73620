#!/bin/sh
# Builds a Python environment: build.sh BUILD PYTHON ENVIRONMENT PROOF PACKAGE WHEELS
# BUILD has the locks of uv, of the environment and of what builds packages, prove.py, and PACKAGE and WHEELS, if these are not empty: a package
# to install from source, and an archive of files to take in place of an index.
set -eu
build=$1 python=$2 environment=$3 proof=$4 package=$5 wheels=$6

# What is left of a build that broke off does not count.
rm -rf "$build/wheels"
set --
if [ -n "$wheels" ]; then
  mkdir "$build/wheels"
  tar -xf "$build/$wheels" --no-same-owner --directory="$build/wheels"
  set -- --no-index --find-links="$build/wheels"
fi

echo "uv, which installs the rest" >&2
"$python" -m venv --clear "$build/uv"
"$build/uv/bin/pip" install --quiet "$@" --require-hashes --requirement="$build/uv.txt"

echo "the packages of the lock" >&2
"$python" -m venv --clear --without-pip "$environment"
uv_pip() { command=$1; shift; "$build/uv/bin/uv" pip "$command" --python="$environment/bin/python" "$@"; }
# What comes as source runs what builds it, which has a hash, too, or is not taken.
uv_pip install --quiet --link-mode=copy "$@" --require-hashes --requirement="$build/requirements.txt" \
  --build-constraints="$build/build.txt" --require-build-hashes --preview-features=build-dependency-hashes
[ -z "$package" ] || uv_pip install --quiet --link-mode=copy --no-deps --offline "$build/$package"

echo "the bytecode" >&2
# Nobody imports the tests of packages, which are a fifth of all code. What has the syntax of another Python is in
# some packages, and no error.
"$environment/bin/python" -m compileall -qq -j 0 -x '/tests/' "$environment/lib" || true

echo "the proof" >&2
uv_pip check
# In one process, since both import the same. A package that writes to its user's home writes where nobody reads.
HOME=$build/home "$environment/bin/python" -c "$proof
$(cat "$build/prove.py")" "$build/requirements.txt"
[ -z "$wheels" ] || rm -rf "$build/wheels" "${build:?}/$wheels"
install -m 0444 /dev/null "$environment/.complete"
