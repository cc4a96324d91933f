"""Reads a run from its logs, its bucket and its events file, and makes the report."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from broker.interface import Broker
from broker.inventory import read_inventory
from broker.logbook import read_log, read_policies
from broker.login import OPERATOR, login
from broker.objects.s3 import S3Store
from broker.policies.publication import read_policy
from broker.store import Store
from broker.tally import tally
from learner.events import RunEvent, read_events
from learner.report.groups import refused_group, used_group
from learner.report.page import page
from learner.report.story import Story, tell
from learner.run_folder import RunFolder
from schemas.errors import (
    DigestMismatch,
    ObjectMissing,
    SignatureInvalid,
    StoreUnavailable,
    UserError,
)
from schemas.policy import PolicyManifest
from schemas.settings import LearnerSettings


async def read_story(broker: Broker, run: str, outside: Sequence[RunEvent] = ()) -> Story:
    """The run as it stands.

    Raises:
        UserError: there is no such run, or its log does not say how it was opened.
    """
    (await read_inventory(broker)).require(run)
    log = [item async for item in read_log(broker, run)]
    opened = tally(log[:1]).opened
    if opened is None:
        raise UserError(f"nothing has happened in run {run}: no coordinator has opened its log")
    policies = [item async for item in read_policies(broker, run, opened.run_key)]
    return tell(log, policies, outside)


async def build_report(story: Story, store: Store) -> str:
    """The HTML document.

    Raises:
        UserError: object storage does not answer.
    """
    try:
        used = await used_group(story, store)
        refused = await refused_group(story, store)
        model = await _read_model(story, store)
    except StoreUnavailable as error:
        raise UserError(f"{error}; no report was made, ask again when it answers") from None
    return page(story, used=used, refused=refused, model=model)


async def _read_model(story: Story, store: Store) -> PolicyManifest | None:
    """What the last policy is, or the initial one; None when its manifest cannot be had."""
    opened = story.opened
    policy = story.last_policy or opened.initial_policy
    with contextlib.suppress(SignatureInvalid, DigestMismatch, ObjectMissing):
        manifest, _ = await read_policy(store, opened.settings.name, policy, opened.run_key)
        return manifest
    return None


async def write_report(settings: LearnerSettings) -> Path:
    """Write the report of a run from its logs and archive, and return its path.

    Raises:
        UserError: there is no such run, nothing has happened in it, or no server answers.
    """
    broker = await login(settings.connection, *OPERATOR, run=settings.name, name="learner report")
    store = S3Store.open(settings.connection)
    folder = RunFolder(settings)
    try:
        story = await read_story(broker, settings.name, read_events(folder.events))
        document = await build_report(story, store)
    finally:
        await broker.close()
        await store.close()
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.report.write_text(document, encoding="utf-8")
    return folder.report
