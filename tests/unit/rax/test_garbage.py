"""What is loaded before forks: it is searched for garbage once, and the search goes on after it."""

import gc

import pytest

from rax._garbage import kept_for_forks


def test_what_is_loaded_is_kept():
    before = gc.get_freeze_count()
    try:
        with kept_for_forks():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()


def test_the_search_goes_on_after_an_error():
    with pytest.raises(ImportError), kept_for_forks():
        raise ImportError
    assert gc.isenabled()
