# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout rules for roles: a rule returns what breaks it."""

import re

from tests.repo.rules import layout_tests

README_LINES = 60
FILES = (
    "README.md",
    "defaults/main.yml",
    "meta/main.yml",
    "meta/argument_specs.yml",
    "tasks/main.yml",
)
INVENTORY_GROUPS = ("scheduler", "worker", "metadata_db", "broker", "control", "airflow")


def defaults_of(tree, role):
    """Return the variables that a role sets, and those it names in a comment."""
    path = f"roles/{role}/defaults/main.yml"
    named = re.findall(rf"^# ({role}_\w+):", tree.text(path), re.MULTILINE)
    return tree.yaml(path) or {}, set(named)


def options_of(tree, role):
    """Return the options of a role's argument specification."""
    specs = tree.yaml(f"roles/{role}/meta/argument_specs.yml") or {}
    return specs.get("argument_specs", {}).get("main", {}).get("options", {})


def missing_files(tree):
    return [
        f"roles/{role}: no {name}"
        for role in tree.names("roles")
        for name in FILES
        if not (tree.root / "roles" / role / name).is_file()
    ]


def long_readmes(tree):
    return [
        f"{path}: {lines} lines, more than a screen"
        for path in tree.glob("roles/*/README.md")
        if (lines := len(tree.text(path).splitlines())) > README_LINES
    ]


def undocumented_variables(tree):
    found = []
    for role in tree.names("roles"):
        values, named = defaults_of(tree, role)
        options = options_of(tree, role)
        found += [
            f"{role}: {name} is in defaults alone"
            for name in sorted({*values, *named} - {*options})
        ]
        found += [
            f"{role}: {name} is in argument_specs alone"
            for name in sorted({*options} - {*values} - named)
        ]
        found += [
            f"{role}: {name} is both set and commented out" for name in sorted({*values} & named)
        ]
        found += [
            f"{role}: {name} has another role's name"
            for name in options
            if not name.startswith(f"{role}_")
        ]
    return found


def untrue_specifications(tree):
    found = []
    for role in tree.names("roles"):
        values, named = defaults_of(tree, role)
        for name, option in options_of(tree, role).items():
            if option.get("required") and name in values:
                found.append(f"{role}: {name} is required although it has a default")
            if "default" in option and name in named:
                found.append(f"{role}: {name} has a default in argument_specs alone")
            fixed = name in values and "{{" not in str(values[name])
            if "default" in option and fixed and option["default"] != values[name]:
                found.append(f"{role}: {name} has another default in argument_specs")
    return found


def group_names_in_roles(tree):
    names = "|".join(INVENTORY_GROUPS)
    return [
        f"{path}:{number}: names a group of the inventory"
        for path in tree.glob("roles/**/*.yml", "roles/**/*.j2")
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if re.search(
            rf"groups(?:\.|\[['\"])(?:{names})\b|['\"](?:{names})['\"] in group_names", line
        )
    ]


def private_log_switches(tree):
    return [
        f"{path}:{number}: no_log is not {{{{ {path.parts[1]}_secure_logging }}}}"
        for path in tree.glob("roles/*/tasks/*.yml", "roles/*/handlers/*.yml")
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if re.match(r"\s*no_log:", line)
        and line.split(":", 1)[1].strip() != f'"{{{{ {path.parts[1]}_secure_logging }}}}"'
    ]


def registered_settings(tree):
    """What a task registers is a fact of the host, and wins over the role's variable everywhere."""
    found = []
    for role in tree.names("roles"):
        settings = {*defaults_of(tree, role)[0], *(tree.yaml(f"roles/{role}/vars/main.yml") or {})}
        found += [
            f"{path}: registers {name}, which is a variable of the role"
            for path in tree.glob(f"roles/{role}/tasks/*.yml", f"roles/{role}/handlers/*.yml")
            for name in re.findall(r"^\s*register: (\w+)", tree.text(path), re.MULTILINE)
            if name in settings
        ]
    return found


SPECS = "argument_specs: {main: {options: {%s}}}"
ROLE = {f"roles/good/{name}": "" for name in FILES}

CASES = [
    (
        missing_files,
        {f"roles/bad/{name}": "" for name in FILES if name != "README.md"},
        "roles/bad: no README.md",
    ),
    (long_readmes, {"roles/bad/README.md": "line\n" * 61}, "roles/bad/README.md: 61 lines"),
    (
        undocumented_variables,
        {"roles/bad/defaults/main.yml": "bad_one: 1\n"},
        "bad: bad_one is in defaults alone",
    ),
    (
        undocumented_variables,
        {"roles/bad/defaults/main.yml": "# bad_one:\n"},
        "bad: bad_one is in defaults alone",
    ),
    (
        undocumented_variables,
        {"roles/bad/meta/argument_specs.yml": SPECS % "bad_one: {type: str}"},
        "bad: bad_one is in argument_specs alone",
    ),
    (
        undocumented_variables,
        {
            "roles/bad/defaults/main.yml": "# bad_one:\nbad_one: 1\n",
            "roles/bad/meta/argument_specs.yml": SPECS % "bad_one: {default: 1}",
        },
        "bad: bad_one is both set and commented out",
    ),
    (
        undocumented_variables,
        {
            "roles/bad/defaults/main.yml": "good_one: 1\n",
            "roles/bad/meta/argument_specs.yml": SPECS % "good_one: {type: str}",
        },
        "bad: good_one has another role's name",
    ),
    (
        untrue_specifications,
        {
            "roles/bad/defaults/main.yml": "bad_one: 1\n",
            "roles/bad/meta/argument_specs.yml": SPECS % "bad_one: {required: true}",
        },
        "bad: bad_one is required although it has a default",
    ),
    (
        untrue_specifications,
        {
            "roles/bad/defaults/main.yml": "bad_one: 1\n",
            "roles/bad/meta/argument_specs.yml": SPECS % "bad_one: {default: 2}",
        },
        "bad: bad_one has another default in argument_specs",
    ),
    (
        untrue_specifications,
        {
            "roles/bad/defaults/main.yml": "# bad_one:\n",
            "roles/bad/meta/argument_specs.yml": SPECS % "bad_one: {default: 2}",
        },
        "bad: bad_one has a default in argument_specs alone",
    ),
    (
        group_names_in_roles,
        {"roles/bad/templates/a.j2": "\n{{ groups['worker'] }}"},
        "roles/bad/templates/a.j2:2: names a group",
    ),
    (
        group_names_in_roles,
        {"roles/bad/tasks/main.yml": "when: \"'worker' in group_names\""},
        "roles/bad/tasks/main.yml:1: names a group",
    ),
    (
        private_log_switches,
        {"roles/bad/tasks/main.yml": "- no_log: false\n  no_log: true\n"},
        "roles/bad/tasks/main.yml:2: no_log is not {{ bad_secure_logging }}",
    ),
    (
        registered_settings,
        {
            "roles/bad/vars/main.yml": "__bad_found: 1\n",
            "roles/bad/tasks/main.yml": "- stat:\n  register: __bad_found\n",
        },
        "roles/bad/tasks/main.yml: registers __bad_found",
    ),
]
test_the_repository_keeps, test_good_files_keep, test_the_rule_can_fail = layout_tests(CASES, ROLE)


def test_there_are_roles(repository):
    assert {"metadata_db", "broker"} <= {*repository.names("roles")}
