# SPDX-License-Identifier: GPL-3.0-or-later
"""Layout rules for all files: a rule returns what breaks it."""

import fnmatch
import itertools
import os
import re
import shlex
from pathlib import Path

from tests.repo.rules import layout_tests
from tests.repo.tree import Link, Runnable

SCRIPTS = ("scripts/*", ".ci/*")
LOCKS = ("requirements/*.txt", "packages/*.txt")
NEVER_IN_THE_COLLECTION = {".git", ".lab", ".venv", "collections", "tests"}
# In pieces, so that this file does not break its own rules.
NOQA, IGNORE, DISABLE, LATER = "no" + "qa", "type: " + "ignore", "dis" + "able", "TO" + "DO"
SKIP = re.compile(rf"#.*\b{NOQA}\b|# *{IGNORE}|# *(?:shellcheck|yamllint) +{DISABLE}")
LEFTOVER = re.compile(rf"\b(?:{LATER}|{'FIX' + 'ME'}|{'XX' + 'X'})\b")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def words(text):
    """Return the words of a comment, without the codes of linters."""
    return [word for word in re.findall(r"[A-Za-z']+", text) if not word.isupper()]


def scripts_that_do_not_run(tree):
    found = []
    for path in tree.glob(*SCRIPTS):
        if not tree.text(path).startswith("#!"):
            found.append(f"{path}: does not begin with #!")
        if not os.access(tree.root / path, os.X_OK):
            found.append(f"{path}: lacks the run bit")
    return found


def runnable_without_interpreter(tree):
    return [
        f"{path}: has the run bit, but does not begin with #!"
        for path in tree.paths
        if os.access(tree.root / path, os.X_OK) and not tree.text(path).startswith("#!")
    ]


def code_lines(tree, path):
    """Yield (number, line) of a Markdown file's fenced code, prompts and continuations removed."""
    fenced, whole = False, ""
    for number, line in enumerate(tree.text(path).splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            whole += line.strip().removeprefix("$ ")
            if whole.endswith("\\"):
                whole = whole[:-1]
                continue
            yield number, whole
            whole = ""


def commands_that_do_not_exist(tree):
    found = []
    for path in tree.glob("**/*.md"):
        for number, line in code_lines(tree, path):
            try:
                command = shlex.split(line, comments=True)
            except ValueError:  # Not a command.
                continue
            while command and re.match(r"[A-Z_]+=", command[0]):
                command.pop(0)
            if not command:
                continue
            program = command[0].removeprefix("./")
            if program.startswith("scripts/"):
                wanted = [program]
            elif program.endswith("ansible-playbook"):
                wanted = [playbook_of(word) for word in command[1:] if playbook_of(word)]
            else:
                continue
            found += [
                f"{path}:{number}: there is no {name}"
                for name in wanted
                if not (tree.root / name).is_file()
            ]
    return found


def playbook_of(word):
    """Return the file of the playbook that a word of a command names, if it names one of ours."""
    if full := re.fullmatch(r"caspian\.airflow\.(\w+)", word):
        return f"playbooks/{full[1]}.yml"
    return word if word == "site.yml" or re.fullmatch(r"playbooks/\w+\.yml", word) else ""


def locks_that_name_a_place(tree):
    return [
        f"{path}:{number}: names an index or an address"
        for path in tree.glob(*LOCKS)
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if re.search(
            r"https?://|git\+| @ |^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links)\b", line
        )
    ]


def locks_of_another_kind(tree):
    """These name download addresses."""
    return [str(path) for path in tree.glob("**/uv.lock", "**/poetry.lock", "**/package-lock.json")]


def requirements_without_hashes(tree):
    return [
        f"{path}: {line.split()[0]} has no hash"
        for path in tree.glob(*LOCKS)
        for line, following in itertools.pairwise([*tree.text(path).splitlines(), ""])
        if re.match(r"[A-Za-z0-9]", line) and "--hash=" not in line + following
    ]


def collection_with_too_much(tree):
    ignored = {*(tree.yaml("galaxy.yml") or {}).get("build_ignore", [])}
    return [
        f"galaxy.yml: build_ignore lacks {name}"
        for name in sorted(NEVER_IN_THE_COLLECTION)
        if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
    ]


def links_to_folders_in_the_collection(tree):
    """Ansible's sanity tests allow none."""
    ignored = (tree.yaml("galaxy.yml") or {}).get("build_ignore", [])
    return [
        f"{path}: links to a folder; have galaxy.yml leave it out"
        for path in tree.links
        if (tree.root / path).is_dir()
        and not any(
            fnmatch.fnmatch(str(folder), pattern)
            for folder in (path, *path.parents[:-1])
            for pattern in ignored
        )
    ]


def skips_without_reason(tree):
    found = []
    for path in tree.paths:
        lines = tree.text(path).splitlines()
        for number, line in enumerate(lines):
            if not (skip := SKIP.search(line)):
                continue
            _, *behind = re.split(" - | # ", line[skip.end() :], maxsplit=1)
            above = lines[number - 1].strip() if number else ""
            if len(words("".join(behind))) < 2 and not (
                above.startswith("#") and len(words(above)) > 2
            ):
                found.append(f"{path}:{number + 1}: a skip without « - » or « # » and a reason")
    return found


def leftovers(tree):
    return [
        f"{path}:{number}: {match[0]}"
        for path in tree.paths
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if (match := LEFTOVER.search(line))
    ]


def dead_links(tree):
    found = []
    for path in tree.glob("**/*.md"):
        for target in LINK.findall(tree.text(path)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = Path(os.path.normpath(path.parent / name)) if name else path
            if not (tree.root / file).exists():
                found.append(f"{path}: there is no {target}")
            elif anchor and anchor not in anchors(tree.text(file)):
                found.append(f"{path}: {file} has no heading #{anchor}")
    return found


def anchors(text):
    """Return what a Markdown file's headings are called in links."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_licences(tree):
    """Workflows import rax, so it is under a licence that asks nothing of them."""
    found = []
    for path in tree.glob("src/**/*.py", "plugins/**/*.py"):
        ours = "Apache-2.0" if path.parts[0] == "src" else "GPL-3.0-or-later"
        if f"SPDX-License-Identifier: {ours}\n" not in tree.text(path):
            found.append(f"{path}: does not name {ours}")
    return found


CASES = [
    (scripts_that_do_not_run, {"scripts/bad": Runnable("echo")}, "scripts/bad: does not begin"),
    (scripts_that_do_not_run, {"scripts/bad": "#!/bin/sh"}, "scripts/bad: lacks the run bit"),
    (
        runnable_without_interpreter,
        {"roles/x/files/bad": Runnable("echo")},
        "files/bad: has the run bit",
    ),
    (
        commands_that_do_not_exist,
        {"README.md": "```\n$ A=1 scripts/bad -v  # x\n```"},
        "README.md:2: there is no scripts/bad",
    ),
    (
        commands_that_do_not_exist,
        {"docs/a.md": "```\nansible-playbook -i x \\\n  playbooks/bad.yml\n```"},
        "a.md:3: there is no playbooks/bad.yml",
    ),
    (
        commands_that_do_not_exist,
        {"README.md": "```\nansible-playbook caspian.airflow.bad\n```"},
        "there is no playbooks/bad.yml",
    ),
    (
        locks_that_name_a_place,
        {"packages/bad.txt": "a==1\n--index-url somewhere"},
        "packages/bad.txt:2",
    ),
    (locks_that_name_a_place, {"requirements/bad.txt": "a @ file:///x"}, "requirements/bad.txt:1"),
    (locks_that_name_a_place, {"requirements/bad.txt": "# http://index"}, "requirements/bad.txt:1"),
    (locks_of_another_kind, {"uv.lock": ""}, "uv.lock"),
    (
        requirements_without_hashes,
        {"packages/bad.txt": "a==1 \\\n    --hash=sha256:0\nb==1\n    # via a\n"},
        "packages/bad.txt: b==1",
    ),
    (
        collection_with_too_much,
        {"galaxy.yml": "build_ignore: [.git, .lab, .venv, collections]"},
        "lacks tests",
    ),
    (
        links_to_folders_in_the_collection,
        {"playbooks/bad": Link("../scripts"), "tests/link": Link("../scripts")},
        "playbooks/bad: links to a folder",
    ),
    (skips_without_reason, {"a.py": f"x = 1  # {NOQA}: S101"}, "a.py:1: a skip"),
    (skips_without_reason, {"a.py": f"# S101\nx = 1  # {NOQA}: S101 - because"}, "a.py:2: a skip"),
    (skips_without_reason, {"a.py": f"import x\nx()  # {IGNORE}[misc]"}, "a.py:2: a skip"),
    (skips_without_reason, {"a.yml": f"- name: A # {NOQA}: no-changed-when"}, "a.yml:1: a skip"),
    (skips_without_reason, {"a.sh": f"# shellcheck {DISABLE}=SC2086"}, "a.sh:1: a skip"),
    (leftovers, {"a.py": f"x = 1\n# {LATER} later"}, "a.py:2"),
    (dead_links, {"docs/a.md": "[b](../b.md)"}, "docs/a.md: there is no ../b.md"),
    (dead_links, {"docs/a.md": "# One\n[b](#two)"}, "has no heading #two"),
    (
        wrong_licences,
        {"src/rax/a.py": "# SPDX-License-Identifier: GPL-3.0-or-later\n"},
        "does not name Apache-2.0",
    ),
    (wrong_licences, {"plugins/modules/a.py": ""}, "does not name GPL-3.0-or-later"),
]
GOOD = {
    "scripts/good": Runnable("#!/bin/sh\n"),
    "playbooks/good.yml": "",
    "galaxy.yml": "build_ignore: [.git, .lab, .venv, collections, tests]",
    "requirements/good.txt": "# uv pip compile a.in\na==1 \\\n    --hash=sha256:0\n    # via b\n",
    "docs/good.md": "# A `heading`, two\n[a](#a-heading-two) [b](../scripts/good) [c](https://x)\n"
    "```\nscripts/good run\nansible-playbook -i inventories/mine playbooks/good.yml\nit's\n```\n",
    "good.py": "x = 1  # no"
    "qa: S101 - it is one\n# Any reason will do.\ny()  # type: ig"
    "nore[misc]\n",
    "collections/good": Link("../scripts"),
    "docs/link.md": Link("good.md"),
    "src/rax/good.py": "# SPDX-License-Identifier: Apache-2.0\n",
}
test_the_repository_keeps, test_good_files_keep, test_the_rule_can_fail = layout_tests(CASES, GOOD)


def test_the_files_are_found(repository):
    assert {"site.yml", "galaxy.yml", "scripts/nodes"} <= {str(path) for path in repository.paths}
