"""The verdict on a case: states, tasks, alerts; what is told once; what is masked."""

import pytest

from rax.testing._judging import Kind, judge
from rax.testing._model import AlertExpectation, Place, RunKind
from rax.testing._outputs import Captured
from tests.unit.rax.testing.outputs_testing import (
    ALL_FLIGHTS,
    PLACE,
    captured,
    case,
    content,
    expectation,
    expected_task,
    flights,
    output,
    run,
    task,
)

ABORTED = flights(check="failed", load="upstream_failed", report="failed")
FAILED = flights(load="failed", report="failed")
CHECK = {"state": "failed", "check": "answers"}


def told(expected, found):
    """Return what is told of one run, each difference as its lines."""
    return [one.text.split("\n") for one in judge(case(expected), output(found))]


@pytest.mark.parametrize(("expected", "found", "lines"), [
    ({}, run(), []),
    ({"state": "failed"}, run("failed", tasks=FAILED), []),
    ({"state": "failed"}, run(), [["the run: failed → success"]]),
    ({}, run("failed", tasks=ABORTED, log="a\n\nb  \n\x1b[31mc\n"),
     [["the run: success → failed", "answers: failed: CheckError: no", "its log ends in:", "| a",
       "| b", r"| \x1b[31mc"]]),
    # Alone, the summary has something to say.
    ({}, run("failed", tasks=flights(report="failed")),
     [["the run: success → failed", "report: failed"]]),
    # A check that fails.
    (CHECK, run("failed", tasks=ABORTED), []),
    (CHECK, run("failed", tasks=flights(check="failed", load="skipped", report="failed")), []),
    (CHECK, run(), [["the run: failed → success"], ["the check answers: failed → success"],
                    ["answers: failed → success"]]),
    (CHECK, run("success", tasks=flights(check="skipped", load="skipped")),
     [["the run: failed → success"], ["the check answers: failed → skipped"],
      ["answers: failed → skipped"]]),
    (CHECK, run("failed", tasks=flights(check="failed", report="failed")),
     [["load[0]: success, and must not run where answers has failed"],
      ["load[1]: success, and must not run where answers has failed"]]),
    (CHECK, run("failed", tasks=flights(check="failed", load="skipped", report="upstream_failed")),
     [["the summary report did not run: upstream_failed"]]),
    (CHECK | {"check": "answer"}, run("failed", tasks=ABORTED),
     [["the workflow has no task answer: did you mean answers?"],
      ["not expected to be failed: answers", "answers: failed: CheckError: no"]]),
    # Tasks that fail: the summary may be named.
    ({"state": "failed", "failed": ("load[0]", "load[1]")}, run("failed", tasks=FAILED), []),
    ({"state": "failed", "failed": ("load", "report")}, run("failed", tasks=FAILED), []),
    ({"state": "failed", "failed": ("load[*]",)}, run("failed", tasks=FAILED), []),
    ({"state": "failed", "failed": ("report",)},
     run("failed", tasks=flights(report="failed")), []),
    ({"state": "failed", "failed": ("report",)}, run("failed", tasks=FAILED),
     [["not expected to be failed: load[0] and load[1]"]]),
    ({"state": "failed", "failed": ("create", "load")}, run("failed", tasks=FAILED),
     [["create: failed → success"]]),
    ({"state": "failed", "failed": ("load[*]",)},
     run("failed", tasks=(*FAILED[:3], task("load[1]"), FAILED[-1])),
     [["load[*]: failed → success"]]),
    ({"state": "failed", "failed": ()}, run("failed", tasks=ABORTED),
     [["not expected to be failed: answers", "answers: failed: CheckError: no"]]),
    # What is skipped.
    ({"skipped": ("load",)}, run(tasks=flights(load="skipped")), []),
    ({"skipped": ()}, run(tasks=flights(load="skipped")),
     [["not expected to be skipped: load[0] and load[1]"]]),
    ({"skipped": ("create",)}, run(), [["create: skipped → success"]]),
])  # fmt: skip
def test_states(expected, found, lines):
    assert told(expectation(**expected), found) == lines


def test_nothing_but_what_is_below_a_check_is_kept_from_running():
    beside = (*ABORTED, task("other", upstream=frozenset({"begin"})), task("begin"))
    assert told(expectation(**CHECK), run("failed", tasks=beside)) == []


@pytest.mark.parametrize(("expected", "found", "subject", "lines", "kind"), [
    (expected_task("create", returns=None), run(), "", "", ""),
    (expected_task("load[*]", state="success"), run(), "", "", ""),
    (expected_task("load", unverified="it is another's"), run(), "", "", ""),
    (expected_task("load[*]", returns={"rows": 1}), run(tasks=flights(returned={"rows": 1})),
     "load[1]", ['returns {"rows": 1} → null'], Kind.RETURNS),
    (expected_task("load[0]", returns={"rows": 4, "month": 1}),
     run(tasks=flights(returned={"rows": 3, "month": 2})),
     "load[0]", ["returns rows: 4 → 3", "returns month: 1 → 2"], Kind.RETURNS),
    (expected_task("load[0]", state="failed"), run(), "load[0]", ["failed → success"], Kind.STATE),
    (expected_task("load[0]", returns=1), run(tasks=flights(load="upstream_failed")),
     "load[0]", ["did not run: upstream_failed"], Kind.STATE),
    (expected_task("load[0]", state="upstream_failed"), run(tasks=flights(load="upstream_failed")),
     "", "", ""),
    (expected_task("load[0]", returns=1), run("success", tasks=flights(load="failed")),
     "load[0]", ["returns nothing: it is failed"], Kind.RETURNS),
    (expected_task("laod[0]"), run(), "laod[0]",
     ["the workflow has no task laod: did you mean load?"], Kind.UNKNOWN_TASK),
    (expected_task("load", returns=1), run(),
     "load", ["is mapped: write load[*] for each, or load[0]"], Kind.UNKNOWN_TASK),
    (expected_task("load[2]", returns=1), run(),
     "load[2]", ["has no such instance: they are 0 to 1"], Kind.UNKNOWN_TASK),
    (expected_task("create[0]", returns=1), run(),
     "create[0]", ["is not mapped: write create"], Kind.UNKNOWN_TASK),
    (expected_task("load[*]", returns=1), run(tasks=(task("load", "skipped"),)),
     "load", ["did not run: skipped"], Kind.STATE),
    (expected_task("load[0]", tables={ALL_FLIGHTS: content(rows=2)}),
     run(tasks=flights(tables={ALL_FLIGHTS: captured("a\n1\n")})),
     "load[0]: EBI-ETL-DEV-01: SELECT * FROM flights", ["2 rows → 1"], Kind.TABLE),
    (expected_task("load[1]", files={"out.txt": content(absent=True)}), run(),
     "load[1]: out.txt", ["nothing was read here: the task did not end as others do"], Kind.FILE),
])  # fmt: skip
def test_tasks(expected, found, subject, lines, kind):
    differences = judge(case(expectation(tasks=(expected,))), output(found))
    assert [(one.subject, one.text, one.kind) for one in differences] == (
        [(subject, "\n".join(lines), kind)] if lines else []
    )


TRIGGER = {
    "event_action": "trigger",
    "dedup_key": "default/flights",
    "payload": {
        "summary": "flights failed: no rows",
        "severity": "error",
        "custom_details": {"a": 1},
    },
}
RESOLVE = {"event_action": "resolve", "dedup_key": "default/flights"}


def alert(action, text="", **fields):
    return AlertExpectation(Place("f", 3), action, text, fields)


@pytest.mark.parametrize(("expected", "found", "lines"), [
    (None, [TRIGGER], []),
    ([], [], []),
    ([alert("resolve")], [RESOLVE], []),
    ([alert("trigger", "no rows")], [TRIGGER], []),
    ([alert("trigger", severity="error", dedup_key="default/flights", custom_details={"a": 1})],
     [TRIGGER], []),
    ([], [RESOLVE], ["alerts: no event → resolve"]),
    ([alert("resolve")], [], ["alerts: resolve → no event"]),
    ([alert("resolve")], [TRIGGER], ["alerts: resolve → trigger: flights failed: no rows"]),
    ([alert("trigger", "no host")], [TRIGGER],
     ["alerts: trigger: no host → trigger: flights failed: no rows"]),
    ([alert("trigger", severity="critical")], [TRIGGER],
     ['alerts: severity: "critical" → "error"']),
    # Number and order count.
    ([alert("trigger"), alert("resolve")], [RESOLVE, TRIGGER],
     ["alerts, 1.: trigger → resolve",
      "alerts, 2.: resolve → trigger: flights failed: no rows"]),
    ([alert("trigger")], [TRIGGER, TRIGGER],
     ["alerts, 2.: no event → trigger: flights failed: no rows"]),
])  # fmt: skip
def test_alerts(expected, found, lines):
    wanted = expectation(alerts=None if expected is None else tuple(expected))
    differences = judge(case(wanted), output(run(alerts=tuple(found))))
    assert [f"{one.subject}: {one.text}" for one in differences] == lines
    assert {one.kind for one in differences} <= {Kind.ALERTS}


def test_trouble_and_attempts_to_leave_the_case_are_always_told():
    found = output(
        trouble="load[0] did not end within 60 s",
        denied=("load[0]: 192.0.2.1 port 5432", "load[0]: 192.0.2.1 port 5432"),
    )
    assert [str(one) for one in judge(case(expectation(), expectation()), found)] == [
        f"{PLACE}: load[0] did not end within 60 s",
        f"{PLACE}: out of reach: load[0]: 192.0.2.1 port 5432\n"
        "    tasks reach nothing but what the case is given: postgres, sqlite, http",
    ]


def test_a_run_that_was_not_made_is_told():
    found = judge(case(expectation(), expectation(), expectation()), output(run()))
    assert [one.headline for one in found] == ["again was not run", "lost was not run"]


def test_what_further_runs_have_in_common_with_the_first_is_told_once(tmp_path):
    (tmp_path / "all.csv").write_text("a\n1\n")
    wanted = expectation(
        tables={ALL_FLIGHTS: content(golden=tmp_path / "all.csv")},
        alerts=(alert("resolve"),),
        tasks=(expected_task("load[0]", returns={"rows": 1}),),
    )
    runs = [
        run(kind=kind, tables={ALL_FLIGHTS: captured(text)}, tasks=flights(returned={"rows": 2}))
        for kind, text in zip(RunKind, ["a\n2\n", "a\n2\n2\n", "a\n2\n"], strict=True)
    ]
    found = judge(case(wanted, wanted, wanted), output(*runs))
    assert [str(one).removeprefix(f"{PLACE}: ") for one in found] == [
        "once: load[0]: returns rows: 1 → 2",
        "once: EBI-ETL-DEV-01: SELECT * FROM flights: beside all.csv: 1 row changed in a"
        "\n    the row: a 1 → 2",
        "f:3: once: alerts: resolve → no event",
        "again: EBI-ETL-DEV-01: SELECT * FROM flights: beside the first run: "
        "1 row → 2 rows; 1 row not as often as expected\n    a=2: 1 × → 2 ×\n    the second run "
        "has added again what the first had loaded: let the task replace its rows, by DELETE and "
        "INSERT in one transaction for example",
    ]


def test_a_task_of_a_further_run_is_told_beside_that_of_the_first(tmp_path):
    wanted = expected_task("load[0]", tables={ALL_FLIGHTS: content(golden=tmp_path / "all.csv")})
    runs = [
        run(kind=kind, tasks=flights(tables={ALL_FLIGHTS: captured(text)}))
        for kind, text in zip(RunKind, ["a\n2\n", "a\n2\n", "a\n3\n"], strict=True)
    ]
    expected = expectation(tasks=(wanted,))
    assert [one.headline for one in judge(case(*3 * [expected]), output(*runs))] == [
        "once: load[0]: EBI-ETL-DEV-01: SELECT * FROM flights: "
        "there is no all.csv yet: ./rax flow record writes it",
        "lost: load[0]: EBI-ETL-DEV-01: SELECT * FROM flights: "
        "beside the first run: 1 row changed in a",
    ]


def test_another_golden_for_a_further_run_is_that_run_s_own(tmp_path):
    for name, text in {"once.csv": "a\n1\n", "again.csv": "a\n1\n1\n"}.items():
        (tmp_path / name).write_text(text)
    expected = [
        expectation(tables={ALL_FLIGHTS: content(golden=tmp_path / name)})
        for name in ("once.csv", "again.csv")
    ]
    runs = [
        run(kind=kind, tables={ALL_FLIGHTS: captured(text)})
        for kind, text in zip(RunKind, ["a\n2\n", "a\n1\n1\n"], strict=False)
    ]
    assert [one.run for one in judge(case(*expected), output(*runs))] == [RunKind.ONCE]


def test_secrets_of_given_credentials_are_masked():
    credentials = {"DB": {"pass": "hunter2hunter2", "url": "https://me:s3cr3ts@example.org"}}
    found = run(
        "failed",
        tasks=flights(load="failed", reason="no login with hunter2hunter2", returned="s3cr3ts"),
        tables={ALL_FLIGHTS: Captured(error="FATAL: hunter2hunter2")},
        log="pass=hunter2hunter2\n",
    )
    wanted = expectation(
        tables={ALL_FLIGHTS: content(rows=1)},
        tasks=(expected_task("load[0]", returns="other"),),
    )
    text = "\n".join(map(str, judge(case(wanted, credentials=credentials), output(found))))
    assert "hunter2" not in text
    assert "s3cr3ts" not in text
    assert text.count("***") == 4


def test_what_a_difference_shows_steers_no_terminal():
    found = run(
        "failed", log="\x1b[2J", tables={ALL_FLIGHTS: Captured(error="\u202eno")},
        tasks=flights(load="failed", reason="\x9b1m", returned="\x07"),
    )  # fmt: skip
    wanted = expectation(
        tables={ALL_FLIGHTS: content(rows=2)},
        tasks=(expected_task("\x1b"), expected_task("load[0]", returns="x")),
    )
    assert len(judge(case(wanted), output(found))) == 4
    assert all(
        str(one).replace("\n", "").isprintable() for one in judge(case(wanted), output(found))
    )
