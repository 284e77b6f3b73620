# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout rule: root does nothing by name where another account could swap what the name leads to.

Such as a directory that is a link by then, or a file that is a hard link to one of root's. What
scripts/lab and molecule do is left out: their nodes live for a test, and have no account to fear.
"""

import re

import pytest
import yaml

from tests.repo.rules import layout_tests
from tests.repo.test_tasks import action_of, tasks_of

# The one list of what an account other than root may swap: by the names of variables, and as paths.
NAMES = (
    # airflow
    *("airflow_home", "__airflow_alerts", "airflow_log_directory"),
    *("dag_sync_home", "dag_sync_link", "dag_sync_metrics_directory"),
    # caspian-refresh
    *("__refresh_schedule_home", "__refresh_schedule_checkout_link"),
    *("__refresh_schedule_collections", "__refresh_schedule_synced"),
    "__refresh_schedule_vault_memory",
    *("refresh_schedule_metrics_directory", "refresh_schedule_credentials_directory"),
    # postgres
    *("__metadata_db_config_dir", "__metadata_db_data_dir"),
)
PATHS = (
    *("/home/", "/var/log/airflow", "/var/lib/caspian-refresh"),
    *("/etc/postgresql/", "/var/lib/postgresql/"),
    *("/etc/redis/", "/var/lib/redis/", "/var/log/redis/"),
    *("/tmp/", "/var/tmp/"),  # noqa: S108 - nothing is written
)
PLACE = re.compile(rf"\b(?:{'|'.join(NAMES)})\b|(?<![\w}}])(?:{'|'.join(PATHS)})|~[a-z/]")
# What reaches its files by descriptors, follows no link and writes new files alone.
BY_DESCRIPTOR = (
    "caspian.airflow.files",
    "caspian.airflow.credential_files",
    "caspian.airflow.credentials_deliver",
)
# What touches no file, or no file of the node, or tells of one whether it is as wanted and no more.
ELSEWHERE = re.compile(r"\.(?:assert|debug|fail|set_fact|include_\w+|import_\w+|meta|lacking)$")
# Arguments that are no path: what is written, said or asked.
NO_PATH = ("content", "stdin", "block", "validate", "home", "msg", "fail_msg", "success_msg")
TASKS = ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml", "*.yml")


def acts_as_root(task):
    """Tell whether root does it; `runuser` leaves root before the command begins."""
    action = task[action_of(task)]
    words = action.get("argv", "") if isinstance(action, dict) else ""
    return not task.get("become_user") and (words or [""])[0] != "runuser"


def paths_of(task):
    """Return the text of what may be a path in a task: its arguments, and what it loops over."""
    action = task[action_of(task)]
    if isinstance(action, dict):
        action = {name: value for name, value in action.items() if name not in NO_PATH}
    return yaml.safe_dump([action, task.get("loop")], width=1000)


def root_by_name(tree):
    found = []
    for path, task in tasks_of(tree, *TASKS):
        action = action_of(task)
        if not action or action in BY_DESCRIPTOR or ELSEWHERE.search(action):
            continue
        # On the controller, and as whoever deploys.
        if task.get("delegate_to") == "localhost" or not acts_as_root(task):
            continue
        found += [
            f"{path}: «{task.get('name')}» has root at {match[0]} by name:"
            f" use {BY_DESCRIPTOR[0]}, or become_user"
            for match in [PLACE.search(paths_of(task))]
            if match
        ]
    return found


def directories_by_name(tree):
    """What is to belong to an account is in its rooms by the next run."""
    return [
        f"{path}: «{task['name']}» gives a directory away by name: use {BY_DESCRIPTOR[0]}"
        for path, task in tasks_of(tree, *TASKS)
        if action_of(task) == "ansible.builtin.file"
        and task["ansible.builtin.file"].get("state") == "directory"
        and task["ansible.builtin.file"].get("owner", "root") != "root"
    ]


def places_that_are_not_listed(tree):
    """Each directory of an account, and each path below one, is where root does nothing by name."""
    found = [
        f"{path}: {name} is not in the list here"
        for path in tree.glob("roles/*/defaults/main.yml", "roles/*/vars/main.yml")
        for name, value in (tree.yaml(path) or {}).items()
        if name not in NAMES and re.match(rf"(?:{{{{\s*)?(?:{PLACE.pattern})", str(value))
    ]
    for path, task in tasks_of(tree, *TASKS):
        if action_of(task) == BY_DESCRIPTOR[0]:
            variables = tree.root.joinpath(*path.parts[:2], "vars/main.yml")
            written = tree.text(variables) if variables.is_file() else ""
            found += [
                f"{path}: {place} is not in the list here"
                for place in directories_of_accounts(task, written)
                if not PLACE.search(place)
            ]
    return found


def directories_of_accounts(task, variables):
    """Yield the path of each directory that the module gives to an account.

    They are entries of the task, or of a variable of it or of its role.
    """
    lists = [task[BY_DESCRIPTOR[0]]["files"], *(task.get("vars") or {}).values()]
    for entry in (entry for one in lists if isinstance(one, list) for entry in one):
        if entry.get("state") == "directory" and entry.get("owner", "root") != "root":
            yield entry["path"]
    texts = [one for one in lists if isinstance(one, str)]
    for entry in re.findall(r"\{'path':[^{}]*\}", " ".join(texts) + variables):
        path, owner = (re.search(rf"'{key}': ([^,}}]+)", entry) for key in ("path", "owner"))
        if "'directory'" in entry and owner:
            yield path[1]


FILE, COMMAND, OWNED = "ansible.builtin.file", "ansible.builtin.command", BY_DESCRIPTOR[0]


def task(module, loop=None, become_user=None, **arguments):
    keys = {"loop": loop, "become_user": become_user}
    written = {"name": "A", module: arguments, **{key: keys[key] for key in keys if keys[key]}}
    return {"roles/x/tasks/a.yml": yaml.safe_dump([written])}


def owned(directories):
    if isinstance(directories, list):
        directories = [{**one, "state": "directory"} for one in directories]
    return task(OWNED, files=directories)


CASES = [
    (root_by_name, task(FILE, path="{{ airflow_home }}/x", state="absent"), "airflow_home"),
    (root_by_name, task("ansible.builtin.copy", dest="/home/airflow/x"), "/home/"),
    (root_by_name, task(FILE, path="{{ item }}", loop=["{{ dag_sync_link }}"]), "dag_sync_link"),
    (root_by_name, task(FILE, path="{{ item }}", loop="{{ dag_sync_home }}"), "dag_sync_home"),
    (
        root_by_name,
        task(COMMAND, argv=["cat", "{{ __refresh_schedule_home }}/id"]),
        "__refresh_schedule_home",
    ),
    (root_by_name, task(COMMAND, cmd="ls", creates="/var/log/airflow/x"), "/var/log/airflow"),
    (root_by_name, task("ansible.builtin.blockinfile", path="~airflow/.profile"), "~a"),
    (root_by_name, task("ansible.builtin.unarchive", dest="/tmp/x"), "/tmp/"),  # noqa: S108 - nothing is written
    (directories_by_name, task(FILE, path="/srv/x", state="directory", owner="{{ x }}"), "«A»"),
    (places_that_are_not_listed, owned([{"path": "/srv/x", "owner": "x"}]), "/srv/x"),
    (
        places_that_are_not_listed,
        {"roles/x/vars/main.yml": "x_y: '{{ airflow_home }}/x'\nx_z: '/x/{{ airflow_home }}'"},
        "x_y",
    ),
    (places_that_are_not_listed, {"roles/x/defaults/main.yml": "x_y: /home/x"}, "x_y"),
    (
        places_that_are_not_listed,
        owned("{{ [{'path': x_y, 'state': 'directory', 'owner': x_user}] }}"),
        "x_y",
    ),
    (
        places_that_are_not_listed,
        {
            **owned("{{ x_list }}"),
            "roles/x/vars/main.yml": "x_list: \"{{ [{'path': x_y, 'state': 'directory',"
            " 'owner': u}] }}\"",
        },
        "x_y",
    ),
]
GOOD = [
    task(FILE, path="/etc/airflow/x", state="directory", owner="root"),
    task("ansible.builtin.copy", content="{{ airflow_home }}", dest="{{ x ~ '/x' }}"),
    task("ansible.builtin.stat", path="{{ airflow_home }}", become_user="{{ airflow_user }}"),
    task(COMMAND, argv=["runuser", "--user=x", "--", "cat", "/home/airflow/x"]),
    task("ansible.builtin.user", name="x", home="{{ airflow_home }}"),
    task("ansible.builtin.assert", that="airflow_home is match('/')"),
    task(OWNED, files=[{"path": "{{ airflow_home }}/x", "content": "x", "owner": "x"}]),
    owned([{"path": "/srv/x"}]),
    owned(
        "{{ [{'path': x_y, 'state': 'directory'},"
        " {'path': dag_sync_metrics_directory, 'state': 'directory', 'owner': x_user}] }}"
    ),
    task(FILE, path="{{ my_airflow_home_x }}/opt/home/x"),
]
RULES = list(dict.fromkeys(rule for rule, *_ in CASES))
test_the_repository_keeps, test_good_files_keep, test_the_rule_can_fail = layout_tests(CASES, {})


@pytest.mark.parametrize("files", GOOD)
def test_what_is_fine(files, make_tree):
    assert [found for rule in RULES for found in rule(make_tree(files))] == []
