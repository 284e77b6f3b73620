# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout rules for tasks, playbooks and variables: a rule returns what breaks it."""

import re

import yaml
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.play import Play

from tests.repo.rules import layout_tests

# Keys of a task, block or play that are no module's name.
KEYWORDS = {"local_action", *Handler.fattributes, *Block.fattributes, *Play.fattributes}
TASK_FILES = ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml")
VARIABLE_FILES = ("roles/*/vars/*.yml", "roles/*/defaults/*.yml", "playbooks/group_vars/*.yml")
PLAY_FILES = ("*.yml", "playbooks/*.yml", "molecule/*/*.yml")
LISTS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
# What a variable that holds a secret is called, besides those that a specification marks.
SECRET_NAME = re.compile(r"\w+_(?:password|secret|secret_key|private_key|fernet_key|token)")
NAME = r"[a-z_]\w*"


def tasks_of(tree, *patterns):
    """Yield (path, task) for all tasks, those inside blocks and plays included."""
    for path in tree.glob(*patterns):
        document = tree.yaml(path)
        if isinstance(document, list):
            yield from ((path, task) for task in flatten(document))


def flatten(entries):
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        inner = [key for key in LISTS if isinstance(entry.get(key), list)]
        if not inner:
            yield entry
        for key in inner:
            yield from flatten(entry[key])


def action_of(task):
    """Return the name of a task's module, if the entry is a task."""
    names = [key for key in task if key not in KEYWORDS and not key.startswith("with_")]
    return names[0] if names else ""


def short_module_names(tree):
    return [
        f"{path}: {action} in «{task.get('name', '')}» is not a full name"
        for path, task in tasks_of(tree, *TASK_FILES, *PLAY_FILES)
        if (action := action_of(task)) and not re.fullmatch(rf"{NAME}\.{NAME}\.{NAME}", action)
    ]


def short_role_names(tree):
    found = []
    for path in tree.glob(*PLAY_FILES):
        for play in tree.yaml(path) or []:
            roles = play.get("roles", []) if isinstance(play, dict) else []
            names = [role.get("role", "") if isinstance(role, dict) else role for role in roles]
            found += [
                f"{path}: role {name} is not a full name" for name in names if name.count(".") != 2
            ]
    return found


def short_plugin_names(tree):
    """An installed collection finds its own plugins by their full names alone."""
    names = [path.stem for path in tree.glob("plugins/filter/*.yml", "plugins/lookup/*.py")]
    if not names:
        return []
    either = "|".join(map(re.escape, names))
    short = re.compile(rf"(?:\||map\(['\"]|(?:lookup|query)\(['\"])\s*({either})\b")
    return [
        f"{path}:{number}: {match[1]} is not a full name"
        for path in tree.glob(
            "roles/**/*.yml",
            "roles/**/*.j2",
            "playbooks/**/*.yml",
            "inventories/**/*.yml",
        )
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        for match in short.finditer(line)
    ]


def secrets_of(tree):
    """Return the variables that hold a secret."""
    found = set()
    for path in tree.glob("roles/*/meta/argument_specs.yml"):
        options = (
            (tree.yaml(path) or {}).get("argument_specs", {}).get("main", {}).get("options", {})
        )
        found |= {
            name
            for name, option in options.items()
            if option.get("no_log") or SECRET_NAME.fullmatch(name)
        }
    return found


def mentions(text, names):
    """Return those of the names that stand in the text."""
    # A key of that name in a mapping is not what the variable holds.
    return sorted(name for name in names if re.search(rf"""\b{name}\b(?!['"]\s*:)""", text))


def copied_secrets(tree):
    """A file of these modules is open to all for a moment: the module files writes secrets."""
    secrets, found = secrets_of(tree), []
    for path, task in tasks_of(tree, *TASK_FILES):
        action = action_of(task)
        if action.rpartition(".")[2] not in ("copy", "template", "lineinfile", "blockinfile"):
            continue
        text = yaml.safe_dump(task)
        source = task[action].get("src", "") if isinstance(task[action], dict) else ""
        template = tree.root.joinpath(*path.parts[:2], "templates", source)
        if template.is_file():
            text += tree.text(template)
        found += [f"{path}: «{task.get('name')}» writes {name}" for name in mentions(text, secrets)]
    return found


def logged_secrets(tree):
    secrets = secrets_of(tree)
    return [
        f"{path}: «{task.get('name')}» has {name}, and no no_log"
        for path, task in tasks_of(tree, *TASK_FILES)
        if "no_log" not in task and not action_of(task).endswith((".assert", "_tasks"))
        for name in mentions(yaml.safe_dump(task), secrets)
    ]


# The filter that checks a node's facts, and those that ask it.
CHECKS_FACTS = ("node_facts", "own_addresses", "own_networks", "source_addresses")


def unchecked_facts(tree):
    """A node's facts are its own word: a filter says whether they can be true."""
    checked = rf"\s*\|(\s*default\({{}}\)\s*\|)?\s*caspian\.airflow\.({'|'.join(CHECKS_FACTS)})\b"
    used = re.compile(rf"(?<!__preflight_gathered\.)\bansible_facts\b(?!{checked})")
    return [
        f"{path}:{number}: ansible_facts without a filter that checks them"
        for path in tree.glob(
            "roles/**/*.yml",
            "roles/**/*.j2",
            "playbooks/**/*.yml",
            "inventories/**/*.yml",
        )
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if not line.lstrip().startswith("#") and used.search(line)
    ]


def unread_line_ends(tree):
    """Find expressions in which `\\n` stays two characters.

    Ansible doubles the backslash in `{{ }}`. In YAML's double quotes it is a line end before.
    """
    return [
        f"{path}: «{expression}»: write it in double quotes"
        for path in tree.glob(*TASK_FILES, *PLAY_FILES, *VARIABLE_FILES)
        for text in texts_of(tree.yaml(path))
        for expression in re.findall(r"\{\{.*?\}\}", text, re.DOTALL)
        if r"'\n'" in expression
    ]


def texts_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts_of(inner)


def variables_of(tree, folder):
    """Return variable → file for the group_vars and host_vars of a folder, and its inventory."""
    found = {}
    for path in tree.glob(*(f"{folder}/{kind}/**/*.yml" for kind in ("group_vars", "host_vars"))):
        found |= dict.fromkeys(tree.yaml(path) or {}, path)
    for path in tree.glob(f"{folder}/*.yml"):
        found |= dict.fromkeys(inline_variables(tree.yaml(path)), path)
    return found


def inline_variables(group):
    """Yield the variables that a YAML inventory sets for groups and hosts."""
    for name, value in (group or {}).items():
        if name == "vars":
            yield from value or {}
        elif name == "hosts":
            for variables in (value or {}).values():
                yield from variables or {}
        elif isinstance(value, dict):
            yield from inline_variables(value)


def variables_set_twice(tree):
    """Of two files for one group, the playbook's wins over the inventory's: nobody expects that."""
    ours = {
        name: path
        for path in tree.glob("playbooks/group_vars/**/*.yml")
        for name in tree.yaml(path) or {}
    }
    return [
        f"{name} is set in {ours[name]} and in {path}"
        for inventory in tree.names("inventories")
        for name, path in variables_of(tree, f"inventories/{inventory}").items()
        if name in ours
    ]


SPECS = {
    "roles/x/meta/argument_specs.yml": "argument_specs: {main: {options: {"
    "x_key: {no_log: true}, x_password: {type: str}, x_port: {type: int}}}}"
}
CASES = [
    (
        unread_line_ends,
        {"roles/x/tasks/a.yml": "- name: A\n  a.b.c:\n    msg: |-\n      {{ x | join('\\n') }}\n"},
        "«{{ x | join('\\n') }}»: write it in double quotes",
    ),
    (short_module_names, {"roles/x/tasks/a.yml": "- name: A\n  copy:\n"}, "a.yml: copy in «A»"),
    (
        short_module_names,
        {"playbooks/p.yml": "- hosts: all\n  tasks: [{block: [{name: B, ping: {}}]}]\n"},
        "p.yml: ping in «B»",
    ),
    (
        short_role_names,
        {"playbooks/p.yml": "- hosts: all\n  roles: [{role: x}]\n"},
        "role x is not",
    ),
    (
        short_plugin_names,
        {"plugins/filter/mine.yml": "", "roles/x/templates/t.j2": "{{ a | mine }}"},
        "t.j2:1: mine is not",
    ),
    (
        short_plugin_names,
        {
            "plugins/lookup/vault.py": "",
            "playbooks/group_vars/all.yml": "a: \"{{ lookup('vault', 'b') }}\"",
        },
        "all.yml:1: vault is not",
    ),
    (
        copied_secrets,
        {
            "roles/x/tasks/a.yml": "- name: A\n  ansible.builtin.copy: {content: '{{ x_key }}'}\n",
            **SPECS,
        },
        "«A» writes x_key",
    ),
    (
        copied_secrets,
        {
            "roles/x/tasks/a.yml": "- name: A\n  ansible.builtin.template: {src: t.j2}\n",
            "roles/x/templates/t.j2": "p={{ x_password }}",
            **SPECS,
        },
        "«A» writes x_password",
    ),
    (
        logged_secrets,
        {"roles/x/tasks/a.yml": "- name: A\n  a.b.c: {key: '{{ x_key }}'}\n", **SPECS},
        "«A» has x_key, and no no_log",
    ),
    (
        unchecked_facts,
        {"roles/x/templates/t.j2": "\n{{ hostvars[host].ansible_facts.fqdn }}"},
        "t.j2:2: ansible_facts without",
    ),
    (
        unchecked_facts,
        {"playbooks/p.yml": "- hosts: all\n  tasks: [{name: A, when: ansible_facts['x']}]\n"},
        "p.yml:2: ansible_facts without",
    ),
    (
        variables_set_twice,
        {"playbooks/group_vars/all.yml": "a: 1", "inventories/i/group_vars/worker/x.yml": "a: 2"},
        "a is set in playbooks/group_vars/all.yml and in inventories/i/group_vars/worker/x.yml",
    ),
    (
        variables_set_twice,
        {
            "playbooks/group_vars/all.yml": "a: 1",
            "inventories/i/hosts.yml": "g: {children: {h: {vars: {a: 1}}}}",
        },
        "a is set in playbooks/group_vars/all.yml and in inventories/i/hosts.yml",
    ),
    (
        variables_set_twice,
        {
            "playbooks/group_vars/g.yml": "a: 1",
            "inventories/i/hosts.yml": "g: {hosts: {h: {a: 1}}}",
        },
        "a is set in playbooks/group_vars/g.yml and in inventories/i/hosts.yml",
    ),
]
GOOD = {
    "roles/y/tasks/keys.yml": "- name: K\n  ansible.builtin.template: {src: k.j2}\n",
    "roles/y/templates/k.j2": "{{ {'x_password': x_port} }}",
    "roles/y/tasks/main.yml": "- name: G\n  ansible.builtin.copy: {content: '{{ x_port }}'}\n"
    "- name: H\n  a.b.c: {key: '{{ x_key }}'}\n  no_log: '{{ y_secure_logging }}'\n"
    "- name: I\n  ansible.builtin.assert: {that: x_password | length > 0}\n",
    "playbooks/good.yml": "- hosts: all\n  roles: [{role: a.b.c}]\n"
    "- name: Next\n  ansible.builtin.import_playbook: p.yml\n",
    "roles/y/vars/main.yml": "# Of ansible_facts.\n"
    'v: "{{ (ansible_facts | caspian.airflow.node_facts).python }}"',
    "playbooks/group_vars/z.yml": "z: \"{{ w | a.b.mine | default('x') }}\"",
}
test_the_repository_keeps, test_good_files_keep, test_the_rule_can_fail = layout_tests(CASES, GOOD)


def test_there_are_tasks_and_secrets(repository):
    assert "broker_password" in secrets_of(repository)
    assert len([*tasks_of(repository, *TASK_FILES)]) > 20
