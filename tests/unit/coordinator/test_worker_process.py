"""One judging process: how it ends, whose fault that was, and that it is started again."""

import asyncio
import sys

import msgspec
import pytest

from learner.coordinator import worker_process
from learner.coordinator.finding import Finding
from learner.coordinator.job import WorkerJob, WorkerSetup, frame
from learner.coordinator.worker_process import WorkerProcess
from schemas.verdict import Reason
from tests.support.worker_jobs import LEASE, as_job, honest_job, make_setup


@pytest.fixture
async def make_process():
    made: list[WorkerProcess] = []

    def make(**limits: int) -> WorkerProcess:
        made.append(WorkerProcess(make_setup(**limits)))
        return made[-1]

    yield make
    for process in made:
        await process.close()


async def examined(process: WorkerProcess, job: WorkerJob) -> Finding:
    findings, hit = await process.examine([job])
    return hit or findings[0]


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """Makes the environment of new processes do what a line of Python says."""

    def break_with(line: str, at_start: str = "") -> None:
        text = f"import environments.scoring, os, signal\n{at_start}\n"
        text += f"def broken(*_, **__):\n    {line}"
        text += "\nenvironments.scoring.finished = broken\n"
        (tmp_path / "sitecustomize.py").write_text(text, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return break_with


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise KeyError('no such word')", Reason.JUDGING_FAILED),
        ("os._exit(3)", Reason.JUDGING_FAILED),
        ("os.kill(os.getpid(), signal.SIGTERM)", Reason.JUDGING_FAILED),
        ("os.kill(os.getpid(), signal.SIGKILL)", Reason.MEMORY),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.MEMORY),
        ("os.abort()", Reason.MEMORY),
        ("raise MemoryError", Reason.MEMORY),
        ("os.kill(os.getpid(), signal.SIGPROF)", Reason.CPU),
    ],
)
async def test_how_it_ends_says_whose_fault_it_was(make_process, broken, line, reason):
    broken(line)
    assert (await examined(make_process(), await honest_job())).reason is reason


async def test_what_the_environment_raises_is_told_and_its_lease_closed(make_process, broken):
    broken("raise KeyError('x' * 10_000)")
    finding = await examined(make_process(), await honest_job())
    assert finding.detail.startswith("KeyError: 'xxx")
    assert len(finding.detail) == 500
    assert "in broken" in finding.traceback or len(finding.traceback) == 4000
    assert finding.lease_is_open
    assert finding.claim is not None
    assert finding.claim.lease_id == LEASE.lease_id


GREETING = """
import sys
class Greets:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "environments.catalogue":
            print("hello")
sys.meta_path.insert(0, Greets)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_what_the_environment_prints_goes_to_standard_error(
    make_process, broken, monkeypatch, capfd, unbuffered
):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    broken(
        "print('a word ' * 2000); os.write(1, b'bare'); os.system('echo child'); "
        "assert not __import__('sys').stdin.read(); raise KeyError('as it should')",
        GREETING,
    )
    process = make_process()
    for _ in range(3):
        assert (await examined(process, await honest_job())).detail.startswith("KeyError")
    await process.close()
    said = capfd.readouterr()
    assert said.out == ""
    assert all(word in said.err for word in ("hello", "a word a word", "bare", "child"))


INTERACTION = "__import__('environments.interface').interface.Interaction(turns=_[0], finish=_[1],"


@pytest.mark.parametrize(
    ("figures", "detail"),
    [
        (" reward='high', parts=())", "TypeError: must be real number, not str"),
        (" reward=1.0, parts=(environments.scoring.Part(name='a b', value=1.0),))", "regex"),
        (" reward=1.0, parts=(environments.scoring.Part(name='a', value='b'),))", "float"),
        (
            " reward=1.0, parts=(environments.scoring.Part(name='a', value=float('nan')),))",
            ">= -1000",
        ),
        (" reward=1e999, parts=())", "<= 1000"),
        (
            " reward=1.0, parts=[environments.scoring.Part(name=f'a{i}', value=1.0)"
            " for i in range(17)])",
            "length <= 16",
        ),
    ],
    ids=["reward", "name", "value", "nan", "inf", "parts"],
)
async def test_figures_that_the_ledger_cannot_hold_are_told(make_process, broken, figures, detail):
    broken(f"return {INTERACTION}{figures}")
    finding = await examined(make_process(), await honest_job())
    assert finding.reason is Reason.JUDGING_FAILED
    assert detail in finding.detail
    assert finding.lease_is_open


WRITABLE_PIPE = """
def pipe():
    for fd in range(3, 16):
        with open(f"/proc/self/fdinfo/{fd}") as info:
            is_writable = int(info.read().split()[3], 8) & os.O_WRONLY
        if is_writable and os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
            return fd
"""


@pytest.mark.parametrize(
    ("frames", "detail"),
    [
        (frame(b"no finding"), "no finding: "),
        (b"\xff\xff\xff\x7f....", "it would have 2147483647 bytes"),
    ],
    ids=["content", "length"],
)
async def test_what_a_process_answers_is_not_believed(make_process, broken, frames, detail):
    """The process has decoded hostile bytes: they may have taken it over."""
    broken(f"os.write(pipe(), {frames!r}); os.kill(os.getpid(), signal.SIGSTOP)", WRITABLE_PIPE)
    process = make_process()
    await process.start()
    async with asyncio.timeout(5):
        finding = await examined(process, await honest_job())
    assert finding.reason is Reason.JUDGING_FAILED
    assert detail in finding.detail
    assert (await examined(process, as_job(b"noise"))).reason is Reason.ENVELOPE


async def test_what_neither_computes_nor_ends_hits_no_limit_of_cpu_time(
    make_process, broken, monkeypatch
):
    monkeypatch.setattr(worker_process, "_IDLE_S", 0.25)
    monkeypatch.setattr(worker_process, "_LEAST_SHARE", 1.0)
    broken("__import__('time').sleep(60)")
    process = make_process(max_cpu_ms=250)
    finding = await examined(process, await honest_job())
    assert finding.reason is Reason.JUDGING_FAILED
    assert finding.detail == "judging it neither computed nor ended for 0.5 s"
    assert (await examined(process, as_job(b"noise"))).reason is Reason.ENVELOPE


@pytest.mark.parametrize("max_cpu_ms", [1, 250, 60_000])
def test_what_may_compute_so_long_is_not_silent_before(max_cpu_ms):
    assert WorkerProcess(make_setup(max_cpu_ms=max_cpu_ms)).silence_s > 9.0 * max_cpu_ms / 1000


async def test_on_a_machine_that_starts_no_process_it_is_waited_for(make_process, monkeypatch):
    process = make_process()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    examining = asyncio.create_task(examined(process, await honest_job()))
    await asyncio.sleep(0.5)
    assert not examining.done()
    monkeypatch.undo()
    assert (await examining).rewards == (1.0, 0.0)


def test_a_setup_survives_the_pipe():
    setup = make_setup()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(setup), type=WorkerSetup) == setup
