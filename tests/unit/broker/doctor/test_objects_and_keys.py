"""The storage, key files, and how a diagnosis is shown."""

import pytest
from msgspec.structs import replace

from broker.doctor.facts import Clock, KeyFile, StoreFacts
from broker.doctor.finding import Level, critical, diagnosis, fine, unknown, warning
from broker.doctor.keys import check_key
from broker.doctor.objects import check_store
from broker.doctor.read_keys import read_keys
from broker.doctor.view import show_diagnosis
from schemas.settings import Connection

STORE = StoreFacts(
    refuses_second_write=True,
    signature="AWS4-HMAC-SHA256",
    status=200,
    same_bytes=True,
    range_status=206,
    forged_status=403,
    clock=Clock(ahead_s=0.1, error_s=0.5),
)


def test_a_good_storage():
    assert {each.level for each in check_store("s3", STORE)} == {Level.OK}


@pytest.mark.parametrize(
    ("changed", "check", "word"),
    [
        ({"refuses_second_write": False}, "conditional writes", "If-None-Match"),
        ({"signature": ""}, "presigned URLs", "version 4"),
        ({"status": 403}, "presigned URLs", "403"),
        ({"same_bytes": False}, "presigned URLs", "other bytes"),
        ({"range_status": 200}, "presigned URLs", "range"),
        ({"forged_status": 200}, "presigned URLs", "forged"),
        ({"clock": Clock(ahead_s=900, error_s=1)}, "clock", "ahead"),
    ],
)
def test_each_failing_of_a_storage(changed, check, word):
    (wrong,) = [each for each in check_store("s3", replace(STORE, **changed)) if each.fix]
    assert (wrong.check, wrong.level) == (check, Level.CRITICAL)
    assert word in wrong.found


def test_key_files():
    file = KeyFile(path="/a key", mode=0o600, ours=True)
    assert check_key(file).level is Level.OK
    open_to_all = check_key(replace(file, mode=0o644))
    assert (open_to_all.level, open_to_all.fix) == (Level.CRITICAL, "chmod 600 '/a key'")
    assert check_key(replace(file, ours=False)).level is Level.WARNING


def test_key_files_are_found_where_they_are(tmp_path):
    servers, runs = tmp_path / "servers", tmp_path / "runs"
    for path in (servers / "s3-credentials.json", runs / "demo" / "run.key"):
        path.parent.mkdir(parents=True)
        path.touch(mode=0o600)
    (runs / "demo" / "run.key").chmod(0o640)
    connection = Connection(s3_credentials=str(servers / "s3-credentials.json"))
    found = {file.path: file.mode for file in read_keys(connection, servers, runs)}
    assert found == {
        str(servers / "s3-credentials.json"): 0o600,
        str(runs / "demo" / "run.key"): 0o640,
    }


def test_the_worst_finding_decides_the_exit_status():
    good, odd = fine("a", "x", "well"), unknown("b", "x", "why", "how")
    bad = critical("c", "x", "gone", "back")
    assert [diagnosis(found).exit_status for found in ([], [good], [good, odd], [bad, odd])] == [
        *(0, 0, 1, 2)
    ]


def test_a_diagnosis_on_the_screen(capsys):
    fields = ", ".join(['"field": "value"'] * 60)
    long = f"nats request '$JS.API.STREAM.UPDATE.X' '{{{fields}}}'"
    findings = [
        critical("c", "x", "gone", long),
        fine("a", "x", "well"),
        warning("b", "y", "z", ""),
    ]
    show_diagnosis(diagnosis(findings))
    assert capsys.readouterr().out.splitlines() == [
        "ok        a of x: well",
        "warning   b of y: z",
        "CRITICAL  c of x: gone",
        f"            {long}",
        "3 checks: 1 warning, 1 critical",
    ]
