# SPDX-License-Identifier: Apache-2.0
"""What a check found, as a page for a pull request.

Names and texts of a repository are written so that no renderer takes them for markup, for a link
or for somebody's name.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from rax._printable import printable
from rax.checking._finding import Finding
from rax.checking._report import left_out, place, sentence, shown, tally, verdict
from rax.checking._stages import Result
from rax.checking._writing import write_report

# Less than GitHub takes for a comment, which is 65,536.
_MAX_CHARACTERS = 60_000
# Of a table that a stage has; a repository with more workflows reads them elsewhere.
_MAX_TABLE_ROWS = 100
# Of these signs no renderer makes anything where the page has them.
_PLAIN = " ,/-=?"
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._~/-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_GITHUB = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")
_GITLAB = ("CI_PROJECT_URL", "CI_COMMIT_SHA")


def write(path: Path, results: Sequence[Result], prefix: str = "") -> None:
    """Write the page.

    :param prefix: the folder of the repository that was checked, such as ``dags/``, if it is not
        all of it
    :raises CommandError: it cannot be written
    """
    write_report(path, page(results, blob_address(os.environ), prefix).encode())


def page(results: Sequence[Result], address: str, prefix: str) -> str:
    """Return the page.

    :param address: what the path of a file is appended to for a link; nothing for links within
    """
    lines = [f"**rax check: {verdict(results)[1]}**", "", "| | | |", "| --- | --- | --- |"]
    lines += [_row(result) for result in results]
    lines += [line for result in results for line in _table(result.outcome.table)]
    left = _MAX_CHARACTERS - sum(len(line) + 1 for line in lines)
    findings = [one for result in results for one in result.outcome.findings]
    kept, more = shown(findings), left_out(findings)
    lines += [""] * bool(kept)
    for number, finding in enumerate(kept):
        line = _item(finding, f"{address}{quote(prefix)}")
        left -= len(line) + 1
        if left < 0:
            more = [f"… and {len(findings) - number:,} more"]
            break
        lines.append(line)
    lines += [f"- {line}" for line in map(escaped, more)]
    return "".join(f"{line}\n" for line in lines)


def blob_address(environment: Mapping[str, str]) -> str:
    """Return the address of the files of the commit that CI checks, if it says so.

    >>> blob_address({"CI_PROJECT_URL": "https://git.example.org/a/b", "CI_COMMIT_SHA": "4f2a88a"})
    'https://git.example.org/a/b/-/blob/4f2a88a/'
    """
    server, repository, commit = (environment.get(name, "") for name in _GITHUB)
    address, blob = f"{server}/{repository}", "blob"
    if not (server and repository):
        address, commit = (environment.get(name, "") for name in _GITLAB)
        blob = "-/blob"
    if not (_ADDRESS.fullmatch(address) and _COMMIT.fullmatch(commit)):
        return ""
    return f"{address}/{blob}/{commit}/"


def escaped(text: str) -> str:
    """Return a text as every renderer of Markdown shows it.

    >>> escaped("<b> @me")
    '&#60;b&#62; &#64;me'
    """
    plain = printable(text)
    return "".join(
        char if char.isalnum() or char in _PLAIN else f"&#{ord(char)};" for char in plain
    )


def _row(result: Result) -> str:
    outcome = result.outcome
    if result.failed:
        ended, about = "could not be done", result.failed
    elif outcome.skipped:
        ended, about = "skipped", outcome.skipped
    else:
        ended, about = tally(result.problems, result.warnings), outcome.looked_at
    mark = "❌" if result.failed or result.problems else "⚠️" if result.warnings else "✅"
    return f"| {mark} {result.stage.title} | {ended} | {escaped(sentence(about))} |"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if len(rows) > _MAX_TABLE_ROWS + 1:
        more = (f"… and {len(rows) - _MAX_TABLE_ROWS - 1:,} more", *[""] * (len(rows[0]) - 1))
        rows = [*rows[: _MAX_TABLE_ROWS + 1], more]
    for number, row in enumerate(rows):
        yield from [""] if not number else []
        yield f"| {' | '.join(escaped(sentence(cell)) for cell in row)} |"
        yield from ["|" + " --- |" * len(row)] if not number else []


def _item(finding: Finding, address: str) -> str:
    where = ""
    if finding.file:
        line = f"#L{finding.line}" if finding.line else ""
        # A name that is no UTF-8 has no address.
        path = quote(finding.file.encode(errors="replace"))
        where = f"[<code>{escaped(place(finding))}</code>]({address}{path}{line}) "
    kind = "warning: " if finding.warning else ""
    # In code, @name calls nobody.
    text = (
        f"- {where}{escaped(finding.rule)} {kind}<code>{escaped(sentence(finding.problem))}</code>"
    )
    text += "".join(f"<br><code>{escaped(sentence(line))}</code>" for line in finding.details)
    if finding.advice:
        text += f"<br>→ <code>{escaped(sentence(finding.advice))}</code>"
    return text
