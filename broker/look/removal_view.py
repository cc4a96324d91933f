"""What a purge removes, in words."""

from broker.program import words
from broker.program.screen import Column, show_line, show_table
from broker.removal import Removal
from schemas.purge import PurgeReason


def show_look(removal: Removal) -> None:
    """What would go."""
    for queue in removal.queues:
        if queue.num_messages:
            right = [Column(name, right=True) for name in ("messages", "about")]
            show_table(
                f"Queue {queue.shard}, up to sequence {queue.through}",
                [Column("subject"), *right],
                [[s.subject, s.num_messages, words.size(s.num_bytes)] for s in queue.subjects],
            )
        if more := queue.num_subjects - len(queue.subjects):
            show_line(f"  and {words.counted(more, 'subject')} more")
    cut = "; the actor's leases end" if removal.reason is PurgeReason.CUT_OFF else ""
    show_line(
        f"{words.counted(removal.num_messages, 'message')} without a verdict, about "
        f"{words.size(removal.num_bytes)}, would go from run {removal.run}{cut}."
    )


def show_done(looked: Removal, removal: Removal) -> None:
    """What has gone."""
    fewer = looked.num_messages - removal.num_messages
    judged = f"; {fewer:,} of those above had got a verdict" if fewer > 0 else ""
    show_line(
        f"{words.counted(removal.num_messages, 'message')} went, and LOG tells which{judged}."
    )
    if removal.reason is PurgeReason.CUT_OFF:
        show_line("The actor is cut off: `broker let-in` lets it in again.")
