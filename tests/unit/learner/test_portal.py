"""The loop beside blocking code."""

import asyncio
import threading

import pytest

from learner.trainer.portal import Portal


def test_a_call_runs_on_another_thread_and_returns_the_result() -> None:
    async def where() -> int:
        return threading.get_ident()

    with Portal() as portal:
        assert portal.call(where()) != threading.get_ident()


def test_an_error_reaches_the_caller() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with Portal() as portal, pytest.raises(KeyError):
        portal.call(fail())


def test_leaving_cancels_what_still_runs() -> None:
    ended = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with Portal() as portal:
        portal.start(wait_for_ever())
        portal.call(asyncio.sleep(0))
    assert ended.is_set()
