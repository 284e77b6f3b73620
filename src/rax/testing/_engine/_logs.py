# SPDX-License-Identifier: Apache-2.0
"""What a run writes: kept in a file, its middle left out where it is too long."""

import collections
import os
from pathlib import Path

# At the beginning and at the end.
MAX_HEAD_BYTES = 4 * 2**20
MAX_TAIL_BYTES = 2**20
_MAX_PIECE_BYTES = 1 << 16


class Log:
    """A pipe that a run writes into, and the file that keeps it."""

    def __init__(self, path: Path) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self._file = path.open("xb", buffering=0)
        self._room = MAX_HEAD_BYTES
        self._tail: collections.deque[bytes] = collections.deque()
        self._tail_bytes = 0
        self._left_out = 0

    def fileno(self) -> int:
        """Return the end to read, for ``select``."""
        return self.reading

    def drain(self) -> bool:
        """Keep what is there to read; return whether there may be more."""
        while True:
            try:
                piece = os.read(self.reading, _MAX_PIECE_BYTES)
            except BlockingIOError:
                return True
            if not piece:
                return False
            self._keep(piece)

    def close(self) -> None:
        """Keep the rest, and close the file."""
        self.drain()
        os.close(self.reading)
        if self._left_out:
            self._file.write(b"\n(%d bytes are left out here)\n" % self._left_out)
        for piece in self._tail:
            self._file.write(piece)
        self._file.close()

    def _keep(self, piece: bytes) -> None:
        head, rest = piece[: self._room], piece[self._room :]
        if head:
            self._file.write(head)
            self._room -= len(head)
        if not rest:
            return
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        while self._tail_bytes > MAX_TAIL_BYTES:
            first = self._tail.popleft()
            self._tail_bytes -= len(first)
            self._left_out += len(first)
