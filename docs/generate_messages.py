"""Writes docs/messages.md from `docs/messages.in` and `schemas/`, whose source it reads.

    python docs/generate_messages.py

A field's meaning is the string below it; its type and bounds are its annotation.
"""

import ast
import importlib
import string
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import nkeys

from actors import seeds
from broker.actor_key import ActorKey
from broker.policies import signing
from learner.coordinator import front, grants
from schemas import names, policy, rollout, settings, types, wire

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "docs" / "messages.in"
OUTPUT = ROOT / "docs" / "messages.md"
MODULES = (
    "types",
    "lease",
    "rollout",
    "verdict",
    "purge",
    "ledger",
    "batch",
    "policy",
    "trainer_events",
    "heartbeat",
    "run_card",
    "join",
    "settings",
    "model_settings",
)
"""What they share, then the order of a group's life, then what `RunOpened` has of the settings."""

NO_MESSAGES = ("Connection", "LearnerSettings", "ActorSettings")
"""Settings that stay on their machine."""

INTRODUCTIONS = {"settings": "What `RunOpened` holds of the settings, and what they mean."}
"""In place of a module's own, which is for who reads the code."""

ACTOR = ActorKey(bytes(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT))).public
SHA256 = wire.sha256_hex(b"")
POLICY = policy.PolicyId(1, 7)


class Name(NamedTuple):
    """A subject, a stream or an object key, with what it is for."""

    build: Callable[..., str]
    example: str
    holds: str
    meaning: str


def _subject(build: Callable[..., str], arguments: tuple[object, ...], *words: str) -> Name:
    return Name(build, build("demo", *arguments), *words)


SUBJECTS = (
    _subject(
        names.rollouts_subject,
        ("s0", POLICY, ACTOR),
        "`RolloutGroup`",
        "JetStream, by the actor. The queue is the lease's `shard`, the policy the group's",
    ),
    _subject(
        names.lease_subject,
        (ACTOR,),
        "`LeaseRequest`, reply `LeaseReply`",
        "core request, by the actor to the coordinator",
    ),
    _subject(
        names.grant_subject,
        (ACTOR,),
        "`GrantRequest`, reply `GrantReply`",
        "core request, by the actor to the coordinator",
    ),
    _subject(names.verdict_subject, (ACTOR,), "`Verdict`", "core, by the coordinator to the actor"),
    _subject(
        names.policy_subject,
        (),
        "`PolicyAnnouncement`",
        "JetStream, by the trainer; actors listen to it as core",
    ),
    _subject(
        names.heartbeat_subject,
        (ACTOR,),
        "`Heartbeat`",
        "core, by every daemon; at the end the actor's id, `coordinator` or `trainer`",
    ),
    _subject(
        names.who_subject,
        (names.COORDINATOR,),
        "empty, reply: who it is, as UTF-8 text",
        "core request, by a coordinator or trainer that starts, to the one that is there",
    ),
    _subject(
        names.join_subject,
        (),
        "`JoinRequest`, reply `JoinReply`",
        "core request, by who was invited to the gate",
    ),
    _subject(
        names.purge_subject,
        (),
        "`PurgeRequest`, reply `PurgeReply`",
        "core request, by an operator to the coordinator",
    ),
    _subject(
        names.let_in_subject,
        (),
        "`LetInRequest`, reply `LetInReply`",
        "core request, by an operator to the coordinator",
    ),
    _subject(names.ledger_subject, (), "`LedgerEntry`", "JetStream, by the coordinator"),
    _subject(names.batch_subject, (3,), "`Batch` of step 3", "JetStream, by the coordinator"),
    _subject(names.trainer_subject, (), "`TrainerEntry`", "JetStream, by the trainer"),
)
OBJECTS = (
    _subject(names.rollouts_stream, ("s0",), "stream", "groups without a verdict, one for a queue"),
    _subject(names.log_stream, (), "stream", "ledger and batches"),
    _subject(names.policies_stream, (), "stream", "announcements and trainer's entries"),
    _subject(names.policy_manifest_key, (POLICY,), "object", "`Signed` with a `PolicyManifest`"),
    _subject(names.path_manifest_key, (POLICY,), "object", "`Signed` with a `PathManifest`"),
    _subject(names.blob_key, (SHA256,), "object", "a file of a policy, named by its sha256"),
    _subject(
        names.segment_key,
        (f"2-{SHA256}",),
        "object",
        "accepted groups, one behind the other, of the coordinator with term 2; then their sha256",
    ),
    _subject(names.refused_key, (SHA256,), "object", "a refused message, named by its sha256"),
)


def reference() -> str:
    """The whole page."""
    trees = {
        name: ast.parse((ROOT / "schemas" / f"{name}.py").read_text(encoding="utf-8"))
        for name in MODULES
    }
    parts = [_head(), "## Types\n", _types(trees.values()), "## Limits\n", _limits(trees.values())]
    for name, tree in trees.items():
        if classes := [_class(name, node) for node in tree.body if _is_message(node)]:
            text = INTRODUCTIONS.get(name) or _paragraphs(ast.get_docstring(tree))
            parts.append(f"## schemas.{name}\n\n{text}\n")
            parts += classes
    return "\n".join(parts)


def _head() -> str:
    """What `docs/messages.in` says, with numbers and names as the code has them."""
    text = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    announcement = policy.announcement_text("demo", POLICY, SHA256).decode()
    return text.substitute(
        magic=wire.MAGIC.decode(),
        version=wire.SCHEMA_VERSION,
        max_window=wire._MAX_WINDOW_BYTES,
        max_decoded=wire.MAX_DECODED_BYTES,
        max_wire=types.MAX_WIRE_BYTES,
        max_message=settings.IntakeSettings().max_message_bytes,
        max_lease_request=front._MAX_REQUEST_BYTES,
        max_grant_request=grants._MAX_REQUEST_BYTES,
        max_manifest=signing.MAX_MANIFEST_BYTES,
        max_manifest_decoded=signing._MAX_DECODED_BYTES,
        max_own=wire.MAX_OWN_WIRE_BYTES,
        max_own_decoded=wire._MAX_OWN_DECODED_BYTES,
        actor=ACTOR,
        sha256=SHA256,
        manifest_key=names.policy_manifest_key("demo", POLICY),
        subjects=_names(SUBJECTS, "subject | message | how"),
        objects=_names(OBJECTS, "name | is | holds"),
        policies_prefix=names.policies_prefix("demo"),
        min_logprob=f"{rollout.MIN_LOGPROB:g}",
        announcement=announcement.rstrip().replace("\n", "\n    "),
        policy_domain=signing._DOMAINS[policy.PolicyManifest].decode().rstrip(),
        path_domain=signing._DOMAINS[policy.PathManifest].decode().rstrip(),
        member_seed=seeds.member_seed(7, 0),
    )


def _names(rows: Iterable[Name], columns: str) -> str:
    lines = [f"| {columns} |", "|---|---|---|"]
    lines += [f"| `{row.example}` | {row.holds} | {row.meaning} |" for row in rows]
    return "\n".join(lines)


def _is_message(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and node.name not in NO_MESSAGES
    )


def _types(trees: Iterable[ast.Module]) -> str:
    """Aliases such as `Sha256 = Annotated[str, Meta(...)]`, and unions of messages."""
    rows = ["| type | is | bounds |", "|---|---|---|"]
    for name, value in _assignments(trees):
        if not name.isupper():
            kind, bounds = _annotation(value)
            rows.append(f"| {name} | {_code(kind)} | {bounds} |")
    return "\n".join(rows) + "\n"


def _limits(trees: Iterable[ast.Module]) -> str:
    """Constants such as `MAX_GROUP_SIZE = 256`, and patterns that have a name."""
    rows = ["| limit | value |", "|---|---|"]
    rows += [
        f"| {name} | {ast.unparse(value)} |"
        for name, value in _assignments(trees)
        if name.startswith(("MAX_", "MIN_")) or name.endswith("_PATTERN")
    ]
    return "\n".join(rows) + "\n"


def _assignments(trees: Iterable[ast.Module]) -> Iterator[tuple[str, ast.expr]]:
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node.value


def _class(module: str, node: ast.ClassDef) -> str:
    kind = getattr(importlib.import_module(f"schemas.{module}"), node.name)
    lines = [f"### {node.name}\n"]
    lines += [f"{text}\n" for text in (_paragraphs(ast.get_docstring(node)), _form(kind)) if text]
    if any(ast.unparse(base) in ("StrEnum", "enum.StrEnum") for base in node.bases):
        lines += ["| value | meaning |", "|---|---|"]
        lines += [
            f"| {_code(ast.literal_eval(member.value)) or '(empty)'} | {meaning} |"
            for member, meaning in _documented(node, ast.Assign)
        ]
    else:
        lines += ["| field | type | bounds | default | meaning |", "|---|---|---|---|---|"]
        for field, below in _documented(node, ast.AnnAssign):
            type_, bounds = _annotation(field.annotation)
            meaning = " ".join(filter(None, [_description(field.annotation), below]))
            default = _code(ast.unparse(field.value)) if field.value else ""
            name = ast.unparse(field.target)
            lines.append(f"| {name} | {_code(type_)} | {bounds} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _form(kind: type) -> str:
    """What it is on the wire, where that is not a map of its fields alone."""
    if issubclass(kind, tuple):
        fields = ", ".join(getattr(kind, "_fields", ()))
        return f"On the wire: an array, `[{fields}]`."
    if issubclass(kind, msgspec.Struct) and (tag := kind.__struct_config__.tag) is not None:
        return f'On the wire: a map that has also `"{kind.__struct_config__.tag_field}": "{tag}"`.'
    return ""


def _documented(node: ast.ClassDef, kind: type[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Members of a class, each with the string below it."""
    for member, below in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(member, kind):
            continue
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        yield member, _paragraphs(str(below.value.value)) if is_text else ""


def _annotation(node: ast.expr) -> tuple[str, str]:
    """A type without its `Meta`, and the bounds that it states, in words."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
        kind, *metas = node.slice.elts
        bounds = [
            _bound(keyword.arg, ast.unparse(keyword.value))
            for meta in metas
            for keyword in meta.keywords
            if keyword.arg != "description"
        ]
        return ast.unparse(kind), ", ".join(bounds)
    return ast.unparse(node), ""


def _description(node: ast.expr) -> str:
    """What a setting's `Meta` says that it means."""
    for part in ast.walk(node):
        if isinstance(part, ast.keyword) and part.arg == "description":
            words = str(ast.literal_eval(part.value))
            return f"{words[0].upper()}{words[1:]}."
    return ""


def _bound(name: str, value: str) -> str:
    words = {
        "ge": "at least {}",
        "gt": "above {}",
        "le": "at most {}",
        "lt": "below {}",
        "min_length": "length at least {}",
        "max_length": "length at most {}",
        "pattern": "matches {}",
    }
    return words[name].format(_code(value) if name == "pattern" else value)


def _code(text: str) -> str:
    escaped = text.replace("|", "\\|")
    return f"`{escaped}`" if text else ""


def _paragraphs(text: str | None) -> str:
    """A docstring as one line for each paragraph."""
    paragraphs = (text or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


if __name__ == "__main__":
    OUTPUT.write_text(reference(), encoding="utf-8")
