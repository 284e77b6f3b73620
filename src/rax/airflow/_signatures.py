# SPDX-License-Identifier: Apache-2.0
"""What the scheduler sends to workers is signed, by an Ed25519 key that workers do not have.

Whoever may write to a queue could have its workers run anything: they take the code to run from the
message, and the API server is not asked about each. What is signed is the name of Celery's task,
its id, its queue, the time and the whole body, so that neither another message nor another queue
can have the signature.
"""

import base64
import json
import time
from collections.abc import Collection, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# The header of a message, {"time", "queue", "signature"}.
HEADER = "rax_signature"
# The first word of what is signed: the key is for nothing else.
PURPOSE = "rax-workload-1"
KEY_BYTES = 32
# How far the clock of a worker may be behind the scheduler's.
MAX_CLOCK_SKEW_SECONDS = 60


def read_keys(text: str) -> list[bytes]:
    """Return the keys of a setting: 32 bytes in the base64 of URLs each, with commas between them.

    :raises ValueError: it is not so; the message does not repeat it
    """
    try:
        keys = [base64.b64decode(one.strip(), b"-_", validate=True) for one in text.split(",")]
    except ValueError:
        raise ValueError("a key is not base64") from None
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a key has not {KEY_BYTES} bytes")
    return keys


def _signed(name: Any, task_id: Any, queue: Any, at: Any, body: Any) -> bytes:
    return json.dumps([PURPOSE, name, task_id, queue, at, body]).encode()


class Signer:
    """What signs messages."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take private keys, of which the first one signs."""
        self._key = Ed25519PrivateKey.from_private_bytes(keys[0])

    def header(self, name: str, task_id: str, queue: str, body: Any) -> dict[str, Any]:
        """Return the header of a message that is sent now, with this body of JSON."""
        at = int(time.time())
        signature = self._key.sign(_signed(name, task_id, queue, at, body))
        return {
            "time": at,
            "queue": queue,
            "signature": base64.b64encode(signature).decode(),
        }


class Verifier:
    """What tells genuine messages from others."""

    def __init__(self, keys: Sequence[bytes], max_age_seconds: float) -> None:
        """Take the public keys of all that may have signed, and how old a message may be."""
        self._keys = [Ed25519PublicKey.from_public_bytes(key) for key in keys]
        self._max_age_seconds = max_age_seconds

    def problem(self, headers: Any, body: str | bytes, queues: Collection[str]) -> str | None:
        """Return why a message is not to be obeyed, or None.

        It may hold anything; the body is the text that was received. `queues` are those that the
        worker serves.
        """
        try:
            header = headers[HEADER]
            at, queue = header["time"], header["queue"]
            signature = base64.b64decode(header["signature"], validate=True)
            text = _signed(headers.get("task"), headers.get("id"), queue, at, json.loads(body))
        # Something is not there, is something else than text, or has brackets without end.
        except (KeyError, TypeError, ValueError, RecursionError):
            return "it is not signed"
        if not any(_is_signed(key, signature, text) for key in self._keys):
            return "its signature is not the scheduler's, or is another message's"
        if queue not in queues:
            return f"it was sent to another queue: {queue}"
        age = time.time() - at
        if not -MAX_CLOCK_SKEW_SECONDS <= age <= self._max_age_seconds:
            return f"it was signed {age:.0f} s ago, and the bound is {self._max_age_seconds:.0f} s"
        return None


def _is_signed(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
