"""What came of a backup or a restore, in lines."""

from broker.backup.restore import RestoreReport
from broker.backup.take import BackupReport
from broker.look.views import show_audit
from broker.program import words
from broker.program.screen import show_line


def show_backup(report: BackupReport) -> None:
    for each in report.lacking:
        show_line(f"lacking  {each}")
    if not report.complete:
        show_line(
            f"The bucket lacks {words.counted(len(report.lacking), 'object')} of {report.run}, so "
            f"there is no manifest of this backup. What it has is in {report.folder}."
        )
        return
    without = words.counted(report.num_without_verdict, "message")
    show_line(
        f"{report.run} is in {report.folder}: LOG to {report.log_sequence}, POLICIES to "
        f"{report.policies_sequence}, {words.counted(report.num_files, 'file')}, "
        f"{words.size(report.num_bytes)}"
    )
    show_line(
        f"fetched {words.counted(report.num_fetched, 'object')}, "
        f"{words.size(report.num_fetched_bytes)}, in {words.age(report.took_s)}; "
        "the rest was there and is as it should be"
    )
    show_line(f"not in it: {without} without a verdict in the queues, and the run's key (run.key)")


def show_restore(report: RestoreReport) -> None:
    there = f", {report.num_there:,} of them were there already" if report.num_there else ""
    show_line(
        f"{report.run} is restored as it was at {words.utc(report.taken)}, with "
        f"{words.counted(report.num_objects, 'object')}{there}, "
        f"{words.size(report.num_bytes)} written in {words.age(report.took_s)}"
    )
    show_audit(report.audit)
    show_line(
        "Next: `broker audit --deep` reads what was written, `learner replay` computes it again. "
        "To go on, put run.key into the run's folder, then `learner open` and `learner run`."
    )
