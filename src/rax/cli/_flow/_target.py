# SPDX-License-Identifier: Apache-2.0
"""``rax flow --target``: which cases a cluster runs, and as whom it is asked."""

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rax import _laptop
from rax._git import git
from rax._printable import printable
from rax.checking._settings import Settings
from rax.credentials import Credential, get_credentials
from rax.errors import CommandError, CredentialNotFoundError
from rax.testing._runner import Chosen, LeftOut, Progress
from rax.testing._staging import (
    Address,
    Client,
    Databases,
    Portable,
    StagedCases,
    address_of,
    portable,
    reason_against,
)


class Split(NamedTuple):
    """The cases that a cluster runs, in the form that it does, and those that it does not run."""

    chosen: list[Chosen]
    left_out: list[LeftOut]
    # By the file of the spec and the name of the case.
    notes: dict[tuple[str, str], tuple[str, ...]]
    databases: Databases


def split(root: Path, chosen: Sequence[Chosen]) -> Split:
    """Say which cases a cluster runs.

    :raises CommandError: none of them, or the credential of a database is not here
    """
    os.environ["RAX_CREDENTIALS_DIR"] = _laptop.local_settings(root)["RAX_CREDENTIALS_DIR"]
    left_out = [LeftOut(one, reason_against(one.case)) for one in chosen if not one.case.target]
    made_for_it = [(one, portable(one.case)) for one in chosen if one.case.target]
    if chosen and not made_for_it:
        raise CommandError(
            "none of these cases is made for a cluster: one that also holds with the data of the "
            "cluster says target: true"
        )
    databases = Databases(_databases(of_cluster for _one, of_cluster in made_for_it))
    fields = {name: dict(found) for name, found in databases.credentials.items()}
    run = []
    for one, of_cluster in made_for_it:
        # What a difference shows has none of their secrets.
        given = dataclasses.replace(of_cluster.case.given, credentials=fields)
        case = dataclasses.replace(of_cluster.case, given=given)
        run.append(one._replace(case=case))
    notes = {
        (one.spec.place.file, one.case.name): tuple(_notes(of_cluster))
        for one, of_cluster in made_for_it
    }
    return Split(run, left_out, notes, databases)


@contextlib.contextmanager
def cluster(
    root: Path, options: argparse.Namespace, what: Split, progress: Progress
) -> Iterator[StagedCases]:
    """Give what runs cases on the cluster that the options name.

    :raises CommandError: it does not answer, or it is not clear where or as whom it is asked
    """
    account = _account(options.credential or Settings.read(root).flows.target)
    staged = StagedCases(
        Client(_address(options.target, account), account), what.databases, what.notes, progress
    )
    try:
        yield staged
    except KeyboardInterrupt:
        if staged.going_on:
            sys.stderr.write(f"rax: the run goes on: {printable(staged.going_on)}\n")
        raise


def other_commits(root: Path, versions: Sequence[str]) -> Iterator[str]:
    """Say of which commits runs were that are not what is in the repository here."""
    head = git(root, "rev-parse", "HEAD").stdout.decode(errors="replace").strip()
    edits = bool(git(root, "status", "--porcelain").stdout.strip())
    for version in versions:
        if version != head:
            here = f"{head[:12]} is here" if head else "there is no commit here"
            yield f"the cluster ran {version[:12]}, and {here}"
        elif edits:
            yield f"the cluster ran {version[:12]}, without the edits that are here"


def _databases(cases: Iterator[Portable]) -> list[str]:
    return sorted(
        {query.database for one in cases for run in one.case.runs.values() for query in run.tables}
    )


def _notes(of_cluster: Portable) -> Iterator[str]:
    if of_cluster.own:
        yield f"the cluster's own: {', '.join(of_cluster.own)}"
    if of_cluster.left_out:
        yield f"left out: {', '.join(of_cluster.left_out)}"


def _account(name: str) -> Credential:
    try:
        return get_credentials(name)
    except CredentialNotFoundError:
        raise CommandError(
            f"the credential {name} is not here, by which the cluster is asked: ./rax credentials "
            f"set {name}, with the url of the cluster, a user of its Airflow and the password"
        ) from None


def _address(said: str, account: Credential) -> Address:
    """Return where the cluster is: what the credential says, and nowhere else."""
    own = f"the url of the credential {account.name}"
    known = address_of(account["url"], own) if account["url"] else None
    if not said:
        if known is None:
            raise CommandError(
                f"--target has no URL, and neither has the credential {account.name}"
            )
        return known
    address = address_of(said, "--target")
    if known is not None and known != address:
        raise CommandError(
            f"--target is not {own}, {known.url}: its password goes nowhere else; --credential "
            "names another"
        )
    return address
