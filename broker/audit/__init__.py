"""Checks promises 1 to 3 of the README from LOG and the streams' states, in its own process.

    leases    issued = open + fulfilled + refused + expired + abandoned
    messages  a stream's last sequence = judged + unjudged (still there, without a verdict)
              + purged(reason) (removed without a look at each, and told in the log)
              + lost at a restore (without a verdict when the backup was taken)
              judged = accepted + stale + late + duplicate + rejected(reason)
    groups    accepted = in a batch + waiting + no signal + stale at the cut

and that each queue is the one that the run began with, no group is in two batches, no row is too
old, the chain of batches has no gap, and every row says what was accepted. The check shares no code
with the coordinator, whose log it checks.
"""

from broker.audit.report import AuditReport, Check, Equation, Term, Violation
from broker.audit.whole import audit, audit_run

__all__ = ["AuditReport", "Check", "Equation", "Term", "Violation", "audit", "audit_run"]
