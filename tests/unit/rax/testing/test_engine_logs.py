"""What a run writes is kept, and of too much the beginning and the end."""

import os
import threading

from rax.testing._engine import _logs
from rax.testing._engine._logs import Log


def write(log, content):
    """Write from a thread, as a run does, while the log is drained."""

    def all_of_it():
        rest = content
        while rest:
            rest = rest[os.write(log.writing, rest) :]
        os.close(log.writing)

    thread = threading.Thread(target=all_of_it)
    thread.start()
    while log.drain():
        pass
    thread.join()
    log.close()


def test_a_log(tmp_path):
    write(Log(tmp_path / "log"), b"one\ntwo\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_the_middle_of_a_long_one_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(_logs, "MAX_HEAD_BYTES", 100_000)
    monkeypatch.setattr(_logs, "MAX_TAIL_BYTES", 100_000)
    write(Log(tmp_path / "log"), b"begin\n" + b"x" * 10_000_000 + b"\nend")
    kept = (tmp_path / "log").read_bytes()
    assert kept.startswith(b"begin\n")
    assert kept.endswith(b"x\nend")
    assert b" bytes are left out here)\n" in kept
    assert len(kept) < 300_000
