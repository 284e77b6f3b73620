"""A bug that is put into a workflow."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    """A bug: in a file of the repository, other words stand in place of some."""

    name: str
    file: str
    # Each is there once; the second may be empty.
    changes: tuple[tuple[str, str], ...]

    def put_into(self, root: Path) -> str:
        """Change the file, and return what it had.

        :raises ValueError: it has not what is to be changed, or has it more than once
        """
        path = root / self.file
        before = text = path.read_text()
        for old, new in self.changes:
            if text.count(old) != 1:
                raise ValueError(f"{self.name}: {self.file} has {text.count(old)} × {old!r}")
            text = text.replace(old, new)
        path.write_text(text)
        return before
