import os
import subprocess
import sys
import time

import pytest

from broker.program.process import (
    ProcessId,
    bound,
    die_with_parent,
    free_ports,
    is_running,
    last_line,
    spawn,
    stop,
)

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)",
]


def wait_for(log, text):
    for _ in range(500):
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.01)
    raise AssertionError(f"no {text!r} in {log}")


@pytest.mark.parametrize("detached", [True, False])
def test_spawn_and_stop(tmp_path, detached):
    log = tmp_path / "log"
    process = spawn(SLEEP, log=log, detached=detached)
    wait_for(log, "up")
    assert is_running(process)
    assert os.getpgid(process.pid) == process.pid, "Ctrl-C would reach it"
    stop(process, grace_s=5)
    assert not is_running(process)
    stop(process, grace_s=5)  # once more does nothing


def test_who_does_not_listen_is_killed(tmp_path):
    log = tmp_path / "log"
    process = spawn(STUBBORN, log=log, detached=True)
    wait_for(log, "up")
    start = time.monotonic()
    stop(process, grace_s=0.1)
    assert time.monotonic() - start < 5
    assert not is_running(process)


def test_a_process_under_a_used_id_is_left_alone(tmp_path):
    log = tmp_path / "log"
    process = spawn(SLEEP, log=log, detached=True)
    wait_for(log, "up")
    stop(ProcessId(process.pid, process.started + 1), grace_s=0)
    assert is_running(process)
    stop(process, grace_s=5)


def test_the_environment_is_added(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", "import os; print(os.environ['WORD'], 'PATH' in os.environ)"]
    spawn(command, log=log, detached=True, environment={"WORD": "here"})
    wait_for(log, "here True")


def test_a_bound_command_ends_when_its_launcher_is_gone():
    # The launcher that it names is not its parent, as if it had died before the command began.
    command = bound(["/bin/true"])
    command[command.index(str(os.getpid()))] = str(os.getppid())
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert "is gone" in done.stderr


def test_die_with_parent_takes_the_right_parent():
    code = (
        "import os\nfrom broker.program.process import die_with_parent\n"
        "die_with_parent(os.getppid())"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0
    with pytest.raises(SystemExit):
        die_with_parent(parent=1 if os.getppid() != 1 else 2)


def test_free_ports_are_distinct():
    assert len(set(free_ports(20))) == 20


def test_the_last_line_is_the_last_that_is_not_empty(tmp_path):
    log = tmp_path / "x.log"
    assert last_line(log) == "it said nothing"
    log.write_text(f"{'long ' * 2000}\nearlier\n  said  \n\n")
    assert last_line(log) == "said"
    assert last_line(log, after=log.stat().st_size) == "it said nothing"
