"""How far a run is: a fold of its logs into what the head of `broker top` shows."""

import statistics
from collections import deque
from collections.abc import Sequence
from typing import Final

from broker.heard import Heard
from broker.look.standing import Standing, who_waits
from broker.top.view import DaemonView, HeadView, QueueView
from broker.top.window import Window
from schemas import ledger, names
from schemas.batch import Batch, staleness
from schemas.policy import PolicyId

_SHOWN_REWARDS: Final = 60


class Course:
    """The run as a whole. Its leases and waiting groups are counted by whoever folds them."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.opened: ledger.RunOpened | None = None
        self.policy: PolicyId | None = None
        self.window = Window()
        self.queue: QueueView | None = None
        self.num_purged = 0
        self._step = 0
        self._num_rows = 0
        """In all batches."""
        self._staleness: Sequence[int] = ()
        """Of the rows of the last batch."""
        self._rewards: deque[float] = deque(maxlen=_SHOWN_REWARDS)
        self._sum = 0.0
        """Of rewards recomputed since the last batch."""
        self._num_rollouts = 0

    def judge(self, time: float, event: ledger.VerdictEvent) -> None:
        """A message was judged; also a refused one may have rewards that were recomputed."""
        self._sum += sum(event.rewards)
        self._num_rollouts += len(event.rewards)
        if isinstance(event, ledger.GroupAccepted):
            self.window.add(time, tokens=sum(event.num_tokens), num_bytes=event.length)
        else:
            self.window.add(time, tokens=0, num_bytes=0)

    def cut(self, batch: Batch) -> None:
        """A batch was cut."""
        self._step = batch.step
        self._num_rows += len(batch.rows)
        self._staleness = [staleness(batch.step, row.policy.version) for row in batch.rows]
        if self._num_rollouts:
            self._rewards.append(self._sum / self._num_rollouts)
        self._sum, self._num_rollouts = 0.0, 0

    def view(self, heard: Heard, now: float, *, num_waiting: int, num_open_leases: int) -> HeadView:
        """How it stands."""
        settings = self.opened.settings if self.opened else None
        return HeadView(
            run=self.run,
            step=self._step,
            num_steps=settings.trainer.num_steps if settings else 0,
            policy=self.policy,
            reward=self._rewards[-1] if self._rewards else None,
            rewards=tuple(self._rewards),
            staleness_mean=statistics.fmean(self._staleness) if self._staleness else None,
            staleness_max=max(self._staleness, default=None),
            staleness_limit=settings.leases.max_staleness if settings else 0,
            num_waiting=num_waiting,
            num_open_leases=num_open_leases,
            queue=self.queue,
            who_waits=self._who_waits(num_waiting, num_open_leases),
            coordinator=_daemon(heard, names.COORDINATOR),
            trainer=_daemon(heard, names.TRAINER),
            rates=self.window.rates(now),
            num_purged=self.num_purged,
        )

    def _who_waits(self, num_waiting: int, num_open_leases: int) -> str:
        if self.opened is None:
            return "everybody waits for a coordinator to open the run"
        settings = self.opened.settings
        standing = Standing(
            announced=self.policy.version if self.policy else None,
            step=self._step,
            num_steps=settings.trainer.num_steps,
            batch_groups=settings.batch.num_groups,
            max_staleness=settings.leases.max_staleness,
            num_rows=self._num_rows,
            num_waiting=num_waiting,
            num_open_leases=num_open_leases,
            num_queued=self.queue.num_messages if self.queue else 0,
        )
        return who_waits(standing).sentence


def _daemon(heard: Heard, who: str) -> DaemonView:
    word = heard.word_of(who)
    return DaemonView(
        state=word.state if word else None, waiting_for=word.waiting_for if word else ""
    )
