"""A declarative Jenkinsfile as the calls that it is made of, and what is wrong with it.

tree-sitter reads the Groovy. What Jenkins takes of that is in the tables below, for as much as the
files here use: https://www.jenkins.io/doc/book/pipeline/syntax/ has the sections, directives,
conditions and options, https://www.jenkins.io/doc/pipeline/steps/ the steps and their parameters.
"""

from dataclasses import dataclass, field

import tree_sitter
import tree_sitter_groovy

_GROOVY = tree_sitter.Language(tree_sitter_groovy.language())

# What may be in a section, and what has to be.
PIPELINE = {
    "agent", "environment", "libraries", "options", "parameters", "post", "stages", "tools",
    "triggers",
}  # fmt: skip
PIPELINE_NEEDS = {"agent", "stages"}
STAGE = {
    "agent", "environment", "input", "matrix", "options", "parallel", "post", "stages", "steps",
    "tools", "when",
}  # fmt: skip
STAGE_NEEDS_ONE = {"matrix", "parallel", "stages", "steps"}
CONDITIONS = {
    "aborted", "always", "changed", "cleanup", "failure", "fixed", "regression", "success",
    "unstable", "unsuccessful",
}  # fmt: skip
# Options and steps with the names of their parameters.
OPTIONS = {
    "buildDiscarder": set(),
    "disableConcurrentBuilds": {"abortPrevious"},
    "skipDefaultCheckout": set(),
    "timeout": {"activity", "time", "unit"},
    "timestamps": set(),
}
STEPS = {
    "archiveArtifacts": {
        "allowEmptyArchive", "artifacts", "caseSensitive", "defaultExcludes", "excludes",
        "fingerprint", "followSymlinks", "onlyIfSuccessful",
    },
    "deleteDir": set(),
    "dir": {"path"},
    "junit": {
        "allowEmptyResults", "checksName", "healthScaleFactor", "keepLongStdio", "keepProperties",
        "keepTestNames", "skipMarkingBuildUnstable", "skipOldReports", "skipPublishingChecks",
        "testDataPublishers", "testResults",
    },
    "sh": {"encoding", "label", "returnStatus", "returnStdout", "script"},
}  # fmt: skip


@dataclass
class Call:
    """A name with arguments in order, arguments by name, and what is in its braces."""

    name: str
    arguments: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    body: list["Call"] = field(default_factory=list)

    def find(self, name):
        """Return all calls of that name in it."""
        return [
            found
            for call in self.body
            for found in ([call] * (call.name == name) + call.find(name))
        ]


def read(text):
    """Return what the file calls.

    :raises ValueError: it is no Groovy
    """
    root = tree_sitter.Parser(_GROOVY).parse(text.encode()).root_node
    if root.has_error:
        raise ValueError("not Groovy")
    return _calls(root)


def _calls(node):
    found = []
    for child in node.named_children:
        if child.type == "expression_statement":
            found += _calls(child)
        elif child.type in ("method_invocation", "juxt_function_call"):
            found.append(_call(child))
        elif child.type == "local_variable_declaration":
            # `agent any` looks like the declaration of a variable.
            words = child.text.decode().split()
            found.append(Call(words[0], words[1:]))
        elif "comment" not in child.type:
            raise ValueError(f"not a call: {child.text.decode()}")
    return found


def _call(node):
    call = Call(node.child_by_field_name("name").text.decode())
    given = node.child_by_field_name("arguments") or node.child_by_field_name("args")
    for argument in given.named_children if given else []:
        if argument.type == "map_item":
            key, value = (argument.child_by_field_name(name) for name in ("key", "value"))
            call.options[key.text.decode()] = value.text.decode().strip("'")
        else:
            call.arguments.append(argument.text.decode().strip("'"))
    body = node.child_by_field_name("body")
    call.body = _calls(body) if body else []
    return call


def problems(text):
    """Return what Jenkins would refuse, or would not understand as it is meant."""
    try:
        calls = read(text)
    except ValueError as error:
        return [str(error)]
    if [call.name for call in calls] != ["pipeline"]:
        return ["not one pipeline"]
    (pipeline,) = calls
    return [
        *_unknown(pipeline, PIPELINE),
        *(f"pipeline lacks {name}" for name in PIPELINE_NEEDS - _names(pipeline)),
        *(found for stages in pipeline.find("stages") for found in _unknown(stages, {"stage"})),
        *(found for stage in pipeline.find("stage") for found in _of_stage(stage)),
        *(found for options in pipeline.find("options") for found in _of_steps(options, OPTIONS)),
        *(found for steps in pipeline.find("steps") for found in _of_steps(steps, STEPS)),
        *(found for post in pipeline.find("post") for found in _of_post(post)),
    ]


def _names(section):
    return {call.name for call in section.body}


def _unknown(section, known):
    return [f"{section.name}: {name}" for name in sorted(_names(section) - set(known))]


def _of_stage(stage):
    needs = [] if _names(stage) & STAGE_NEEDS_ONE else ["stage lacks steps"]
    return [*_unknown(stage, STAGE), *needs, *([] if stage.arguments else ["stage has no name"])]


def _of_post(post):
    return _unknown(post, CONDITIONS) + [
        found for condition in post.body for found in _of_steps(condition, STEPS)
    ]


def _of_steps(section, known):
    return _unknown(section, known) + [
        found
        for call in section.body
        if call.name in known
        for found in (
            *(f"{call.name}: {name}" for name in call.options if name not in known[call.name]),
            *(_of_steps(call, known) if call.body else ()),
        )
    ]
