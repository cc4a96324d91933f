"""What an audit says."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

ARCHIVE_UNREAD = "the archive's bytes (--deep reads them)"
POLICIES_UNREAD = "the policies (learner replay computes them again)"
_MAX_LISTED = 10


class Check(StrEnum):
    """What a violation is about."""

    LOG = "log"
    """LOG is whole and readable, contradicts itself nowhere, and no writer came back after it was
    replaced."""
    LEASES = "leases"
    MESSAGES = "messages"
    GROUPS = "groups"
    ONCE = "once"
    """Promise 1: each accepted group is in at most one batch."""
    FRESH = "fresh"
    """Promise 2: no row is older than the staleness limit, and nothing else was dropped as such."""
    CHAIN = "chain"
    """Steps have no gap, and each batch names the digest of the one before it."""
    ROWS = "rows"
    """A row says what was accepted; its advantages are the rewards minus their mean."""
    ARCHIVE = "archive"
    """The archive holds the bytes that the rows name."""


class Term(Struct, frozen=True, kw_only=True):
    """One number of an equation."""

    name: str
    count: int


class Equation(Struct, frozen=True, kw_only=True):
    """A sum that must come out."""

    check: Check
    about: str
    """`leases`, `groups`, or a stream's name."""
    total: Term
    terms: tuple[Term, ...]
    holds: bool

    def __str__(self) -> str:
        """`12 issued = 2 open + 10 fulfilled`, with `!=` where it does not hold."""
        terms = " + ".join(f"{term.count} {term.name}" for term in self.terms)
        sum_ = terms.replace("+ -", "- ")
        return f"{self.total.count} {self.total.name} {'=' if self.holds else '!='} {sum_}"


class Violation(Struct, frozen=True, kw_only=True):
    """Something that does not hold, with its numbers and ids."""

    check: Check
    detail: str


class AuditReport(Struct, frozen=True, kw_only=True):
    """The result; `broker audit --json` prints it."""

    run: str
    holds: bool
    equations: tuple[Equation, ...]
    violations: tuple[Violation, ...]
    num_batches: int
    num_rows: int
    stalest_row: int
    """Versions: the largest staleness of any row; 0 when there is none."""
    max_staleness: int | None
    """The limit; None before the run is opened."""
    num_stored_since: int
    """Messages that were stored after the streams' states were read, and judged before the log
    was."""
    num_reused_sequences: int
    """Given to a second message, because a server had lost the end of a queue as in a power loss;
    0 where it syncs every write."""
    num_lost_at_restores: int | None = None
    """Messages that had no verdict when the backup was taken that the run was restored from; None:
    it never was."""
    num_groups_hashed: int | None = None
    """Rows whose bytes were read from the archive; None: not asked for."""
    not_checked: tuple[str, ...] = (ARCHIVE_UNREAD, POLICIES_UNREAD)
    """What this audit did not look at, and what does."""


def equation(
    check: Check, about: str, total: tuple[str, int], terms: Iterable[tuple[str, int]]
) -> Equation:
    """Work out whether the sum comes out."""
    summands = tuple(Term(name=name, count=count) for name, count in terms)
    return Equation(
        check=check,
        about=about,
        total=Term(name=total[0], count=total[1]),
        terms=summands,
        holds=total[1] == sum(term.count for term in summands),
    )


def listed_ids(noun: str, numbers: Iterable[int]) -> str:
    """Ids in words, the first ten of them.

    >>> listed_ids("lease", {4, 3}), listed_ids("step", range(12))
    ('leases 3, 4', 'steps 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more')
    """
    ordered = sorted(numbers)
    shown = ", ".join(str(number) for number in ordered[:_MAX_LISTED])
    more = f" and {len(ordered) - _MAX_LISTED} more" if len(ordered) > _MAX_LISTED else ""
    return f"{noun}{'s' if len(ordered) > 1 else ''} {shown}{more}"
