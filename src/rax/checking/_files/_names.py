# SPDX-License-Identifier: Apache-2.0
"""Names of configs and credentials that code has as literals, and whether there are such."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from rax.checking._files._calls import GET_CONFIG, Call, Module
from rax.checking._files._configs import Configs
from rax.checking._files._credentials import Credentials
from rax.checking._finding import Finding
from rax.checking._project import TESTS, Project
from rax.config._files import near

# The rule, and how its problem begins: the rest is what get_config() says, too.
MISSING, THERE_IS = "config-missing", "there is "


def find_problems(
    project: Project,
    calls: Mapping[str, list[Call]],
    configs: Configs,
    credentials: Credentials,
) -> Iterator[Finding]:
    """Yield the calls that name what is not there.

    :param calls: those of each file
    """
    is_new = project.is_asked(credentials.file)
    for file, found in calls.items():
        for call in found:
            if call.function == GET_CONFIG:
                if not configs.has(call.name):
                    yield _no_config(file, call, configs)
            elif (is_new or project.is_asked(file)) and credentials.lack(call.name):
                yield credentials.unknown(call.name, file, call.line, repr(call.name))


def calls_of(modules: Mapping[str, Module]) -> dict[str, list[Call]]:
    """Return the calls of each file, but for tests, whose names may be made up."""
    return {file: module.calls for file, module in modules.items() if not _is_test(file)}


def _is_test(file: str) -> bool:
    path = PurePosixPath(file)
    return "tests" in path.parts or path.name == "conftest.py" or bool(TESTS.fullmatch(file))


def _no_config(file: str, call: Call, configs: Configs) -> Finding:
    named = f"configs/{call.name.replace('.', '/')}"
    problem = f"{THERE_IS}no config {call.name!r}"
    if f"{named}.yml" in configs.files:
        advice = f"rename {named}.yml to {named}.yaml"
    elif hint := near(call.name, configs.names()):
        advice = hint.removeprefix(": ")
    else:
        advice = f"write {named}.yaml"
    return Finding(file, call.line, MISSING, problem, advice)
