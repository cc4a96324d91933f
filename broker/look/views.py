"""Answers as tables and lines."""

import time

from broker.audit import AuditReport
from broker.export.writing import Exported
from broker.look.health import Health
from broker.look.life import Life
from broker.look.listing import Listing, StreamView
from broker.look.short_keys import KEY, short_keys
from broker.look.sight import GroupView, Sight, VerdictView
from broker.look.stream_views import lag_words
from broker.program import words
from broker.program.screen import Column, show_line, show_table
from schemas.listed import listed


def show_health(health: Health) -> None:
    show_table(
        "Servers",
        [Column("server"), Column("answers"), Column("")],
        [
            [server.server, *(("yes", server.url) if server.answers else ("no", server.detail))]
            for server in health.servers
        ],
    )


def show_listing(listing: Listing) -> None:
    if listing.streams:
        _show_streams(listing)
    elif not listing.unseen:
        show_line("There is no run on this server: open one with `learner open`.")
    if listing.unseen:
        show_line()
        show_line(f"These credentials do not let one see {listed(listing.unseen, 'and')}.")


def _show_streams(listing: Listing) -> None:
    right = [Column(name, right=True) for name in ("step", "open leases", "waiting groups")]
    show_table(
        "Runs",
        [Column("run"), Column("policy", right=True), *right, Column("verdicts")],
        [
            [
                run.run,
                run.policy or "none yet",
                f"{run.step} of {run.num_steps}" if run.num_steps else "no coordinator yet",
                run.num_open_leases,
                run.num_waiting,
                ", ".join(f"{count.verdict} {count.count}" for count in run.verdicts),
            ]
            for run in listing.runs
        ],
    )
    show_line()
    names = ("messages", "size", "oldest", "newest", "consumers")
    of_queues = ("pending", "in hand", "redelivered", "lag")
    show_table(
        "Streams",
        [
            Column("stream"),
            *(Column(name, right=True) for name in (*names, *of_queues)),
            Column("holds"),
        ],
        [_stream_row(stream, now=time.time()) for stream in listing.streams],
    )


def _stream_row(stream: StreamView, *, now: float) -> list[object]:
    bound = f" of {words.size(stream.max_bytes)}" if stream.max_bytes >= 0 else ""
    return [
        stream.name,
        stream.num_messages,
        words.size(stream.num_bytes) + bound,
        words.since(stream.first_time, now=now),
        words.since(stream.last_time, now=now),
        stream.num_consumers,
        *_queue_cells(stream),
        stream.meaning,
    ]


def _queue_cells(stream: StreamView) -> list[object]:
    if stream.lag_groups is None:
        return ["", "", "", ""]
    counts = (stream.num_pending, stream.num_in_hand, stream.num_redelivered)
    return [*counts, lag_words(stream)]


def show_sights(sights: list[Sight]) -> None:
    if not sights:
        show_line("No message is there: nothing that is asked for was stored. Logs: --stream LOG.")
    for sight in sights:
        what = "judged" if sight.verdict else "stored"
        when = f"{what} {words.utc(sight.time)}, {words.age(time.time() - sight.time)} ago"
        size = "" if sight.num_bytes is None else f"{words.size(sight.num_bytes)}, "
        show_line(f"{sight.stream} {sight.sequence}: {size}{when}")
        if sight.subject:
            show_line(f"  subject   {sight.subject}")
        show_line(f"  sha256    {sight.sha256}")
        if sight.said is not None:
            show_line(f"  says      {sight.said}")
        if sight.verdict is not None:
            _show_verdict(sight.verdict)
        if sight.verdict is not None and sight.group is None:
            named = sight.verdict.lease_id
            lease = "none that is known" if named is None else named
            show_line(f"  lease     {lease}, by {sight.verdict.actor}")
        if sight.missing:
            show_line(f"  missing   {sight.missing}")
        if sight.undecodable is not None:
            show_line(f"  wrong     {sight.undecodable.reason}: {sight.undecodable.detail}")
            show_line(f"  begins    {sight.undecodable.preview}")
        if sight.group is not None:
            _show_group(sight.group)


def verdict_words(verdict: VerdictView) -> str:
    """The verdict in a line, with what became of an accepted group."""
    if verdict.verdict == "rejected":
        return f"rejected({verdict.reason}): {verdict.detail}"
    if verdict.detail:
        return f"{verdict.verdict}: {verdict.detail}"
    if verdict.step is None:
        return verdict.verdict
    return (
        f"{verdict.verdict}, in the batch of step {verdict.step} with staleness {verdict.staleness}"
    )


def _show_verdict(verdict: VerdictView) -> None:
    show_line(f"  verdict   {verdict_words(verdict)}")
    if verdict.rewards:
        show_line(f"  rewards   {words.figures(verdict.rewards)}")


def _show_group(group: GroupView) -> None:
    staleness = (
        "no policy is announced"
        if group.staleness is None
        else f"{words.counted(group.staleness, 'version')} behind the newest"
    )
    show_line(f"  lease     {group.lease_id}, of {group.actor}, made by {group.engine}")
    show_line(f"  policy    {group.policy}, {staleness}")
    show_line(f"  rollouts  {len(group.num_tokens)}")
    show_line(f"  tokens    {words.figures(group.num_tokens)}")
    show_line(f"  sampled   {words.figures(group.num_sampled)}")
    show_line(f"  claimed   {words.figures(group.claimed_rewards)}")


def show_exported(written: Exported) -> None:
    groups, rows = (
        words.counted(written.num_groups, "group"),
        words.counted(written.num_rows, "row"),
    )
    show_line(f"{groups}, {rows}, {words.size(written.num_bytes)}: {written.path}")
    for left_out in written.left_out:
        show_line(f"{words.counted(left_out.count, 'message')} left out: {left_out.why}")


def show_life(life: Life) -> None:
    """One line for each moment; an actor's key is shortened, and stands whole below."""
    keys: dict[str, None] = {}
    for moment in life.moments:
        when = "" if moment.time is None else words.utc(moment.time)
        keys |= dict.fromkeys(KEY.findall(moment.text))
        show_line(f"{when:<24}  {moment.what:<9}  {short_keys(moment.text)}")
    for key in keys:
        show_line(f"{short_keys(key)} is {key}")


def show_audit(report: AuditReport) -> None:
    width = max(len(equation.about) for equation in report.equations)
    for equation in report.equations:
        show_line(f"{'ok ' if equation.holds else 'NOT'}  {equation.about:<{width}}  {equation}")
    if report.max_staleness is None:
        show_line("no coordinator has opened the log yet")
    else:
        show_line(
            f"{report.num_batches} batches of {report.num_rows} rows; the stalest row has "
            f"staleness {report.stalest_row}, the limit is {report.max_staleness}"
        )
    if report.num_groups_hashed is not None:
        show_line(f"{report.num_groups_hashed} groups were read from the archive and hashed")
    if report.num_lost_at_restores is not None:
        lost = words.counted(report.num_lost_at_restores, "message")
        show_line(f"restored from a backup: its queues were not in it, {lost} without a verdict")
    if report.num_reused_sequences:
        show_line(
            f"{report.num_reused_sequences} sequences were given again: a server had lost the end "
            "of a queue, as in a power loss"
        )
    for violation in report.violations:
        show_line(f"{violation.check}: {violation.detail}")
    count = len(report.violations)
    said = "holds" if report.holds else f"does not hold: {count} violation{'s' * (count > 1)}"
    unseen = " or at ".join(report.not_checked)
    show_line(f"The audit of {report.run} {said}. It did not look at {unseen}.")
