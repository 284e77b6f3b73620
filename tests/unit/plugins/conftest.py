# SPDX-License-Identifier: GPL-3.0-or-later
"""The module files, run in this process."""

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.caspian.airflow.plugins.module_utils import secret_module
from ansible_collections.caspian.airflow.plugins.modules import files


@pytest.fixture
def run_files(capsys, monkeypatch):
    """Return a function that runs the module for the entries."""
    # It would limit this process, and with it all tests that come after.
    monkeypatch.setattr(secret_module, "no_core_dumps", lambda: None)

    def run(*entries, check=False):
        given = {"files": list(entries), "_ansible_check_mode": check}
        with patch_module_args(given), pytest.raises(SystemExit):
            files.main()
        return json.loads(capsys.readouterr().out)

    return run
