import pytest

from rax.testing import _specs


class Flows:
    """The folder of specs of a repository, with some files that these may name."""

    def __init__(self, root):
        self.root = root
        self.folder = root / "tests" / "flows"
        (self.folder / "site").mkdir(parents=True)
        for name in ("before.sql", "flights.csv.zip", "site/index.html"):
            (self.folder / name).write_text("")

    def read(self, text, name="genes.flow.yaml"):
        file = self.folder / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return _specs.read(file, self.root)

    def mistakes(self, text):
        """Return what is wrong with a spec, each as "line: text"."""
        with pytest.raises(_specs.SpecError) as caught:
            self.read(text)
        found = caught.value.mistakes
        assert all(mistake.place.file == "tests/flows/genes.flow.yaml" for mistake in found)
        assert str(caught.value).splitlines()[0].startswith("tests/flows/genes.flow.yaml:")
        return [f"{mistake.place.line}: {mistake.text}" for mistake in found]


@pytest.fixture
def flows(tmp_path):
    return Flows(tmp_path)
