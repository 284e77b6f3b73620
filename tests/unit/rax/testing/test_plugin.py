"""The plugin of pytest: what it collects of specs, and what it says of those that are none."""

import os
import subprocess
import sys

import pytest

SPEC = """\
workflow: genes_daily
cases:
  good: {runs: [once], expect: {}}
  the source is down: {expect: {state: failed}}
"""


@pytest.fixture
def collected(tmp_path):
    """Have pytest collect a repository of these files; return its exit code and what it says."""

    def run(files, *words):
        for name, text in {"rax.toml": "", "dags/.keep": "", **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "rax.testing.plugin", "-p", "no:cacheprovider",
             "-c", os.devnull, f"--rootdir={tmp_path}", "--collect-only", "-q", *words],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        return done.returncode, done.stdout

    return run


def test_an_item_is_a_case(collected):
    files = {
        "tests/flows/genes.flow.yaml": SPEC,
        "tests/flows/ebi/trials.flow.yaml": SPEC,
        # No spec: it is somewhere else.
        "tests/genes.flow.yaml": SPEC,
        "configs/genes.flow.yaml": SPEC,
        "tests/test_own.py": "def test_own():\n    pass\n",
    }
    code, output = collected(files, "-k", "not ebi or down")
    assert code == 0
    # Folders and files may come in any order.
    assert sorted(output.splitlines()[:4]) == [
        "tests/flows/ebi/trials.flow.yaml::the source is down",
        "tests/flows/genes.flow.yaml::good",
        "tests/flows/genes.flow.yaml::the source is down",
        "tests/test_own.py::test_own",
    ]


def test_a_spec_with_mistakes_says_all_of_them_and_nothing_of_python(collected):
    text = SPEC.replace("runs: [once]", "rnus: [once]").replace("state: failed", "state: fialed")
    code, output = collected({"tests/flows/genes.flow.yaml": text})
    assert code == 2
    assert "tests/flows/genes.flow.yaml:3: " in output
    assert "tests/flows/genes.flow.yaml:4: " in output
    assert "Traceback" not in output
    assert "SpecError" not in output
