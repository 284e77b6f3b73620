# SPDX-License-Identifier: Apache-2.0
"""What tasks ask in place of the API server: Airflow's own, in this process and without a thread.

Airflow's own helper has a loop in a thread, which a fork would not have, and which ends when the
last of its clients is garbage: that may be never. A task that forks, as ``multiprocessing`` does,
would find locks that nobody opens again.
"""

import asyncio
import contextlib
import contextvars
import functools
import threading
from typing import Any

import httpx

from rax.airflow._local_runs import remember_dependencies, serve_newest_version

# Whether it is the API that asks for a thread.
_answers = contextvars.ContextVar("answers", default=False)


class Transport(httpx.BaseTransport):  # type: ignore[misc]  # httpx is not here when types are checked
    """Asks an ASGI application, and waits for its answer.

    :param app: the application, which has started
    """

    def __init__(self, app: Any) -> None:
        self._app = httpx.ASGITransport(app)
        self._loop = asyncio.new_event_loop()

    def handle_request(self, request: Any) -> Any:
        """Return the answer to a request."""
        request.read()
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            # This is called from within a loop, which can run no other: a trigger's, for one.
            return _in_thread(lambda: asyncio.run(self._answer(request)))
        return self._loop.run_until_complete(self._answer(request))

    async def _answer(self, request: Any) -> Any:
        _answers.set(True)
        answer = await self._app.handle_async_request(request)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


class ExecutionApi:
    """What ``dag.test()`` takes for Airflow's ``InProcessExecutionAPI``."""

    def __init__(self) -> None:
        from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

        serve_newest_version()
        self.app = InProcessExecutionAPI().app
        self._lifespan = contextlib.AsyncExitStack()
        # Entered for good: a second time, it would ask for the keys of a real server. asyncio.run
        # would end it again.
        loop = asyncio.new_event_loop()
        entered = self._lifespan.enter_async_context(self.app.router.lifespan_context(self.app))
        loop.run_until_complete(entered)
        loop.close()
        # Its routes are made by now: only what is asked at requests is remembered.
        remember_dependencies()
        _answer_without_threads()
        self.transport: Transport

    @staticmethod
    @functools.cache
    def installed() -> "ExecutionApi":
        """Return the one that ``dag.test()`` asks in this process and its forks."""
        from airflow.sdk.execution_time import supervisor

        api = ExecutionApi()
        supervisor.in_process_api_server = lambda: api
        return api

    def start(self) -> None:
        """Make it answer in this process, which may be a fork."""
        self.transport = Transport(self.app)


def _answer_without_threads() -> None:
    """Have the API call its functions itself, and not in threads, of which it wants some 50 a task.

    It answers one request at a time, and whoever has asked waits for that.
    """
    import anyio.to_thread

    in_thread = anyio.to_thread.run_sync

    async def run_sync(function: Any, *arguments: Any, **options: Any) -> Any:
        if not _answers.get():
            return await in_thread(function, *arguments, **options)
        # As in a thread, what the function sets in its context ends with it.
        return contextvars.copy_context().run(function, *arguments)

    anyio.to_thread.run_sync = run_sync  # type: ignore[assignment]  # of any function


def _in_thread(ask: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    thread.join()
    return found[0]
