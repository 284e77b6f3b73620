#!/usr/bin/env bash
# On a new node with a newer Python: make the tools of this checkout, and run the tests of what Ansible loads.
# scripts/test brings the checkout to /checkout, uv, and the packages that were downloaded before.
set -euo pipefail
cd /checkout
# The checkout can't be written, and each test that starts Ansible would compile it anew.
export LC_ALL=C.UTF-8 UV_CACHE_DIR=/var/cache/uv PYTHONPYCACHEPREFIX=/var/tmp/pycache PATH=/opt/tools/bin:$PATH
uv venv --quiet --no-config --python /usr/bin/python3 /opt/tools
uv pip sync --quiet --no-config --system-certs --python /opt/tools/bin/python --require-hashes requirements/dev.txt
ansible --version | head -n 1
# What Ansible makes of our plugins, and what they patch in it, is what a version may change. One of them asks git.
pytest -p no:cacheprovider --timeout 300 tests/unit/plugins --ignore tests/unit/plugins/test_program_files.py \
  tests/unit/vaults/test_other_lookups.py tests/attacks/test_{node_answers,printing}.py \
  tests/attacks/test_facts.py::test_nothing_a_node_says_becomes_a_variable
