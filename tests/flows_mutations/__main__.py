"""Put each bug into its workflow, run the specs, and say what has seen it."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rax.testing._engine import Server
from rax.testing._judging import Difference, Kind, judge
from rax.testing._model import Case, RunKind
from rax.testing._specs import find, read
from tests.flows_mutations import flights, measurements
from tests.flows_mutations.mutation import Mutation

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = (
    (ROOT / "examples/dag-repo", flights.MUTATIONS),
    (Path(__file__).with_name("repository"), measurements.MUTATIONS),
)
MAX_CASE_SECONDS = 300.0
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "local", "reports")


class Seen(NamedTuple):
    """A bug, and the kinds of expectation that have seen it."""

    bug: str
    kinds: tuple[str, ...]


def main() -> int:
    """Return 0 where each bug was seen, and nothing where there is none."""
    parser = argparse.ArgumentParser(prog="python -m tests.flows_mutations", description=__doc__)
    parser.add_argument("--green", type=int, default=50, help="how often without a bug (50)")
    parser.add_argument("--only", default="", help="bugs with this in their names")
    parser.add_argument("--workflow", default="", help="repositories with this in their paths")
    parser.add_argument("--first", action="store_true", help="do not look for what else sees a bug")
    options = parser.parse_args()
    wrong = 0
    seen: list[Seen] = []
    for source, mutations in WORKFLOWS:
        if options.workflow not in str(source):
            continue
        with tempfile.TemporaryDirectory(prefix="rax-mutations-") as folder:
            root = Path(folder, "repository")
            shutil.copytree(source, root, ignore=_LEFT_OUT)
            with Server(root) as server:
                workflow = _Workflow(root, server, first=options.first)
                wrong += workflow.is_green(options.green)
                for mutation in mutations:
                    if options.only in mutation.name:
                        seen.append(workflow.sees(mutation))
    wrong += sum(not one.kinds for one in seen)
    if not options.first:
        for line in table(seen):
            _say(line)
    _say(f"{wrong} wrong" if wrong else "each bug was seen, and nothing else")
    return int(bool(wrong))


class _Workflow:
    """The workflow of a repository, which is changed and mended."""

    def __init__(self, root: Path, server: Server, *, first: bool) -> None:
        self._root = root
        self._first = first
        self._server = server
        (file,) = find(root)
        self._spec = read(file, root)

    def is_green(self, times: int) -> int:
        """Return in how many of these runs something differs."""
        wrong = 0
        for number in range(times):
            found = list(self._differences())
            wrong += bool(found)
            for _case, one in found:
                _say(f"WITHOUT A BUG, {number + 1}: {one}")
        _say(f"{self._spec.workflow} as it is: {times - wrong} of {times} passed")
        return wrong

    def sees(self, mutation: Mutation) -> Seen:
        """Return by which kinds of expectation a bug is seen, and say it."""
        before = mutation.put_into(self._root)
        try:
            found = list(islice(self._cheapest(), 1) if self._first else self._differences())
        finally:
            (self._root / mutation.file).write_text(before)
        kinds = sorted({_kind(case, one) for case, one in found})
        verdict = ", ".join(kinds) or "NOT SEEN"
        _say(f"{self._spec.workflow}: {mutation.name}: {verdict}")
        for _case, one in found[:1]:
            _say(f"    {one.headline}"[:160])
        return Seen(f"{self._spec.workflow}: {mutation.name}", tuple(kinds))

    def _cheapest(self) -> Iterator[tuple[Case, Difference]]:
        """Yield differences, of one run of each case first."""
        for case in self._spec.cases:
            once = replace(case, runs={RunKind.ONCE: case.runs[RunKind.ONCE]})
            yield from self._of_case(once)
        yield from self._differences()

    def _differences(self) -> Iterator[tuple[Case, Difference]]:
        for case in self._spec.cases:
            yield from self._of_case(case)

    def _of_case(self, case: Case) -> Iterator[tuple[Case, Difference]]:
        output = self._server.run(self._spec, case, max_seconds=MAX_CASE_SECONDS)
        for one in judge(case, output):
            yield case, one


def table(seen: Sequence[Seen]) -> Iterator[str]:
    """Yield a line for each bug, with what has seen it, and one for each kind that was needed."""
    width = max((len(one.bug) for one in seen), default=0)
    for one in seen:
        yield f"{one.bug:{width}}  {', '.join(one.kinds) or 'NOT SEEN'}"
    alone: dict[str, list[str]] = {}
    for one in seen:
        if len(one.kinds) == 1:
            alone.setdefault(one.kinds[0], []).append(one.bug)
    for kind, bugs in sorted(alone.items()):
        yield f"only by {kind} ({len(bugs)}): {'; '.join(bugs)}"


def _kind(case: Case, one: Difference) -> str:
    """Return what kind of expectation has seen a difference."""
    expected = next(iter(case.runs.values()))
    if expected.check:
        return "a check that fails"
    if case.given.meanwhile:
        return "meanwhile"
    if one.run in (RunKind.AGAIN, RunKind.LOST):
        return f"{one.run}"
    databases = [*case.given.postgres.values(), *case.given.sqlite.values()]
    if databases and not any(databases):
        return "an empty database"
    if one.kind in (Kind.TABLE, Kind.FILE):
        return "data"
    return f"{one.kind}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
