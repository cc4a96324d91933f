"""What the run was: enough to cite it, and to know what it would take to repeat it."""

import math
from collections.abc import Iterator
from typing import Final

from msgspec import structs

from broker.program.words import counted, utc
from learner.report.markup import table, tag, words
from learner.report.story import Story
from schemas.lease import EnvironmentRef
from schemas.policy import PolicyManifest
from schemas.resolve import to_toml
from schemas.settings import DppoSettings, PpoSettings
from schemas.trainer_events import IncarnationStarted

_MAX_SETTINGS: Final = 10_000


def lead(story: Story, model: PolicyManifest | None) -> str:
    """The run in one paragraph."""
    settings, environment = story.opened.settings, story.opened.environment
    steps = counted(len(story.steps), "optimizer step")
    batch = f"{settings.batch.num_groups} groups of {settings.sampling.group_size} rollouts"
    age = counted(settings.leases.max_staleness, "version")
    size = f"a model of {_short(_num_parameters(model))} parameters, " if model else ""
    return (
        f"Opened {utc(story.opened_time)[:16]} UTC. Task: {task(environment)}; trained on the "
        f"reward part {environment.train_on}. {steps} of {batch}, at most {age} behind; {size}"
        f"{_kind(settings.trainer.loss)} loss, learning rate {settings.trainer.learning_rate:g}, "
        f"seed {settings.seed}."
    )


def draw(story: Story, model: PolicyManifest | None) -> str:
    """Every fact, and all settings folded away."""
    rows = ((words(name), words(fact)) for name, fact in _facts(story, model))
    facts = table(("", ""), rows, class_="facts")
    toml = to_toml(story.opened.settings)
    lines = "\n".join(words(line) for line in toml[:_MAX_SETTINGS].splitlines())
    settings = tag("details", tag("summary", "All settings"), tag("pre", lines))
    return facts + settings


def task(environment: EnvironmentRef) -> str:
    """An environment and the sizes of its tasks; what they count is its own business."""
    return f"{environment.id}, sizes {environment.smallest} to {environment.largest}"


def _facts(story: Story, model: PolicyManifest | None) -> Iterator[tuple[str, str]]:
    opened, settings = story.opened, story.opened.settings
    environment, trainer = opened.environment, settings.trainer
    yield "run", f"{settings.name}, opened {utc(story.opened_time)}"
    if story.steps:
        yield "last policy", f"{story.last_policy}, {utc(story.steps[-1].announced_time)}"
    yield "seed", str(settings.seed)
    yield "task", f"{task(environment)}; version {environment.version}, digest {environment.digest}"
    if model:
        dtypes = ", ".join(sorted({tensor.dtype for tensor in model.tensors}))
        num_tensors = f"{len(model.tensors)} tensors ({dtypes})"
        yield "model", f"{_num_parameters(model):,} parameters in {num_tensors}"
        yield f"weights of {model.policy}", model.weights_digest
    yield "initial policy", f"{opened.initial_policy}, manifest {opened.initial_manifest_sha256}"
    yield "loss", _with_settings(trainer.loss)
    yield (
        "optimizer",
        f"AdamW, learning rate {trainer.learning_rate:g} after {trainer.warmup_steps} steps of "
        f"warmup, betas {trainer.beta1:g} and {trainer.beta2:g}, weight decay "
        f"{trainer.weight_decay:g}, gradients clipped at norm {trainer.max_grad_norm:g}",
    )
    yield (
        "batch",
        f"{settings.batch.num_groups} groups of {settings.sampling.group_size} rollouts, at most "
        f"{counted(settings.leases.max_staleness, 'version')} behind; temperature 1, at most "
        f"{settings.sampling.max_new_tokens} sampled tokens a turn",
    )
    for incarnation in story.incarnations:
        yield f"numerics, incarnation {incarnation.incarnation}", _numerics(incarnation)
    yield "hosts of the learner", ", ".join(story.hosts)
    yield "code of the learner", opened.code_sha256
    yield "run key", opened.run_key


def _numerics(started: IncarnationStarted) -> str:
    numerics = started.numerics
    return (
        f"{counted(numerics.world_size, 'rank')} of {counted(numerics.num_threads, 'thread')} on "
        f"{numerics.device} ({numerics.cpu}), {numerics.dtype}, "
        f"{'deterministic' if numerics.deterministic else 'not deterministic'}; torch "
        f"{numerics.torch_version}, transformers {numerics.transformers_version}; attention "
        f"{numerics.attention}, experts {numerics.experts}; from version {started.resumed_from}"
    )


def _num_parameters(model: PolicyManifest) -> int:
    return sum(math.prod(tensor.shape) for tensor in model.tensors)


def _short(count: int) -> str:
    """Three figures of a large number.

    >>> _short(712_345), _short(30_532_122_624), _short(999)
    ('712 thousand', '30.5 billion', '999')
    """
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return str(count)


def _kind(loss: DppoSettings | PpoSettings) -> str:
    return str(type(loss).__struct_config__.tag).upper()


def _with_settings(loss: DppoSettings | PpoSettings) -> str:
    shown = ", ".join(f"{name} {value:g}" for name, value in structs.asdict(loss).items())
    return f"{_kind(loss)}, {shown}"
