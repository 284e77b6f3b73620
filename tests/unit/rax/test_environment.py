# SPDX-License-Identifier: GPL-3.0-or-later
"""What the environment says, asked for without the exceptions of os.environ."""

import importlib
import os

import pytest

from rax import _environment

NAME = "RAX_TEST_SETTING"


@pytest.mark.parametrize("value", ["1", "", "with = sign", "Grüße", "\udcff"])
def test_a_setting_is_what_os_environ_has(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(NAME, value)
    assert _environment.setting(NAME) == os.environ[NAME] == value


def test_each_call_sees_what_is_set_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    assert _environment.setting(NAME) == ""
    monkeypatch.setenv(NAME, "one")
    assert _environment.setting(NAME) == "one"
    os.environb[NAME.encode()] = b"two"
    assert _environment.setting(NAME) == "two"
    del os.environ[NAME]
    assert _environment.setting(NAME) == ""


def test_an_environment_in_the_place_of_the_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "of the first")
    monkeypatch.setattr(os, "environ", {NAME: "of the second"})
    assert _environment.setting(NAME) == "of the second"


def test_this_python_needs_no_exceptions() -> None:
    assert _environment._values is not None


@pytest.mark.parametrize("kept", [{NAME: "as text"}, None, [NAME]])
def test_values_that_are_kept_otherwise_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, kept: object
) -> None:
    class Environ(dict[str, str]):
        _data = kept

    monkeypatch.setattr(os, "environ", Environ({NAME: "as os.environ says"}))
    try:
        other = importlib.reload(_environment)
        assert other._values is None
        assert other.setting(NAME) == "as os.environ says"
    finally:
        monkeypatch.undo()
        importlib.reload(_environment)
