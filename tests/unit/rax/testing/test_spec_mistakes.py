"""What a spec cannot say: each mistake is told with its line, and beside it what is no mistake."""

import textwrap

import pytest

# What stands above the lines of a row.
TOPS = {
    "spec": "",
    "given": "workflow: genes\ncases: {good: {expect: {}}}\ngiven:\n",
    "case": "workflow: genes\ngiven: {postgres: {EBI-1: before.sql}, http: {WEB: site}}\n"
    "cases:\n  good:\n    expect: {}\n",
    "expect": "workflow: genes\ngiven: {postgres: {EBI-1: before.sql}}\ncases:\n  good:\n"
    "    expect:\n",
}
INDENTS = {"spec": "", "given": "  ", "case": "    ", "expect": "      "}

MAPPING = "a mapping from up to 200 names to cases"
GOLDEN = "a golden beside the spec (all.csv) or {rows: 7}"
FILE = "a golden beside the spec (all.csv), absent, {rows: 7} or {text: …}"
TASK = "a task (load, or load[1] of a mapped one)"
KEY = "a task (load, or load[1] or load[*] of a mapped one)"
ALERT = (
    'an alert (resolve, "trigger: part of its summary", '
    "or {trigger: part of its summary, severity: critical})"
)
BRACKETS = (
    'is no key and no text inside { } and [ ]: quote it, "load[1]", '
    "or write it as a key in a line of its own"
)
TARGET = "true, or what is expected on a staging cluster (a mapping)"
BELOW = "a path below the case's folder is expected"
BESIDE = "a path beside the spec is expected"

# Where the lines are, what is wrong, what is nearly the same and right, and what is told.
ROWS = [
    # The whole.
    ("spec", "workflow: a\ncase: {b: {expect: {}}}", "workflow: a\ncases: {b: {expect: {}}}",
     f"1: cases is missing: {MAPPING}",
     "2: 'case' is no key of a spec of a workflow: did you mean cases?"),
    ("spec", "{}", "{workflow: a, cases: {b: {expect: {}}}}",
     "1: workflow is missing: the id of a DAG", f"1: cases is missing: {MAPPING}"),
    ("spec", "", "workflow: a\ncases: {b: {expect: {}}}",
     "1: holds nothing, where 'key: value' lines are expected"),
    ("spec", "workflow: 7\ncases: {b: {expect: {}}}", "workflow: \"7\"\ncases: {b: {expect: {}}}",
     "1: workflow is a number, where the id of a DAG is expected"),
    ("spec", "workflow: a b\ncases: {b: {expect: {}}}", "workflow: a.b\ncases: {b: {expect: {}}}",
     "1: workflow is 'a b', where the id of a DAG is expected"),
    ("spec", "workflow: a\ncases: {}", "workflow: a\ncases: {b: {expect: {}}}",
     f"2: cases is an empty mapping, where {MAPPING} is expected"),
    ("spec", "workflow: a\ncases: [b]", "workflow: a\ncases: {b: {expect: {}}}",
     f"2: cases is a list, where {MAPPING} is expected"),
    ("spec", "workflow: a\ncases:\n  b: {expect: {}}\n  b: {expect: {}}",
     "workflow: a\ncases:\n  b: {expect: {}}\n  c: {expect: {}}",
     "4: the key 'b' is there twice, first in line 3"),
    ("spec", "workflow: a\npostgres: {A: before.sql}\ncases: {b: {expect: {}}}",
     "workflow: a\ngiven: {postgres: {A: before.sql}}\ncases: {b: {expect: {}}}",
     "2: 'postgres' is no key of a spec of a workflow: did you mean given.postgres?"),
    ("spec", "workflow: a\ncases: {b: null}", "workflow: a\ncases: {b: {expect: {}}}",
     "2: b is nothing, where a case (a mapping) is expected"),
    ("spec", "workflow: a\ncases: {b: {given: {}}}", "workflow: a\ncases: {b: {expect: {}}}",
     "2: expect is missing: an expectation (a mapping)"),
    ("spec", f"workflow: a\ncases: {{{', '.join(f'b{n}: {{expect: {{}}}}' for n in range(201))}}}",
     f"workflow: a\ncases: {{{', '.join(f'b{n}: {{expect: {{}}}}' for n in range(200))}}}",
     f"2: cases is a mapping of 201, where {MAPPING} is expected"),
    ("spec", 'workflow: a\ncases: {"b\\n": {expect: {}}}', "workflow: a\ncases: {b: {expect: {}}}",
     "2: 'b\\n' is a key, where the name of a case (a line of up to 100 characters) is expected"),
    ("spec", 'workflow: a\ncases: {"b\\0": {expect: {}}}', "workflow: a\ncases: {b: {expect: {}}}",
     "2: has NUL or half a character, which no text of a spec has"),
    # Keys that are none in YAML.
    ("expect", "tasks: {load[1]: {state: success}}", 'tasks: {"load[1]": {state: success}}',
     f"6: load[1] {BRACKETS}"),
    ("expect", "failed: [load[1]]", 'failed: ["load[1]"]', f"6: load[1] {BRACKETS}"),
    ("expect", f"EBI-1:\n  SELECT {'a' * 1024}: a.csv",
     f"EBI-1:\n  ? |\n    SELECT {'a' * 1024}\n  : a.csv",
     "7: a key of more than 1,024 characters is written in lines of its own: "
     "'? |', the SQL further right, and ': golden.csv' below the ?"),
    # Cases.
    ("case", "runs: [agian]", "runs: [once, again]",
     "6: runs[0] is 'agian', where once, again or lost is expected: did you mean again?"),
    ("case", "runs: once", "runs: [once]",
     "6: runs is a text, where a list of once, again, lost is expected"),
    ("case", "runs: []", "runs: [lost]",
     "6: runs is an empty list, where a list of once, again, lost is expected"),
    ("case", "runs: [once, once]", "runs: [once, lost]",
     "6: runs is a list that has one thing twice, where a list of once, again, lost is expected"),
    ("case", "runs: [again]", "runs: [again, once]",
     "6: again is a run on what once has left: add once"),
    ("case", "target: maybe", "target: true", f"6: target is a text, where {TARGET} is expected"),
    ("case", "given: {down: [WEB]}\ntarget: true", "given: {down: [WEB]}\ntarget: false",
     "7: the case has given.down, which is brought about on no cluster: leave out one"),
    ("case", "given: {meanwhile: {load: {EBI-1: SELECT 1}}}\ntarget: true", "target: true",
     "7: the case has given.meanwhile, which is brought about on no cluster: leave out one"),
    ("case", "runs: [lost]\ntarget: true", "runs: [lost, once]\ntarget: true",
     "7: a run that loses results is made on no cluster: add once to runs"),
    ("case", "given: {sqlite: {DAYS: null}}\ntarget: {DAYS: {SELECT 1: {rows: 1}}}",
     "given: {sqlite: {DAYS: null}}\ntarget: {EBI-1: {SELECT 1: {rows: 1}}}",
     "7: DAYS is a file on a worker of the cluster, which answers no query"),
    ("case", "target: {alerts: []}", "target: {failed: []}",
     "6: 'alerts' is no key of true, or what is expected on a staging cluster, "
     "which has state, check, failed, skipped, tasks and EBI-1"),
    ("case", "target: {tasks: {load: {files: {a.csv: absent}}}}",
     "target: {tasks: {load: {returns: null}}}",
     "6: 'files' is no key of the expectation of a task on a staging cluster, "
     "which has state, returns and unverified"),
    ("case", "target: yes", "target: false",
     '6: cases.good.target is read as true: quote it, "yes", or write true'),
    ("case", "tasks: {}", "given: {}",
     "6: 'tasks' is no key of a case: did you mean target.tasks or expect.tasks?"),
    # What is given.
    ("given", "postgres: before.sql", "postgres: {EBI-1: before.sql}",
     "4: postgres is a text, where a mapping from credentials to SQL files is expected"),
    ("given", "postgres: {EBI-1: befor.sql}", "postgres: {EBI-1: [before.sql]}",
     "4: there is no file 'befor.sql' beside the spec: did you mean before.sql?"),
    ("given", "files: [index.html]", "files: {index.html: site/index.html}",
     "4: there is no file 'index.html' beside the spec: did you mean site/index.html?"),
    ("given", "files: [site/indx.html]", "files: [site/index.html]",
     "4: there is no file 'site/indx.html' beside the spec: did you mean site/index.html?"),
    ("given", "files: [other.txt]", "files: [before.sql]",
     "4: there is no file 'other.txt' beside the spec"),
    ("given", "postgres: {EBI/1: null}", "postgres: {EBI.1: null}",
     "4: 'EBI/1' is a key, where the name of a credential is expected"),
    ("given", "postgres: {tasks: null}", "http: {tasks: site}",
     "4: tasks is a word of expectations, and cannot name a database"),
    ("given", "postgres: {EBI-1: ../before.sql}", "postgres: {EBI-1: ./before.sql}",
     f"4: '../before.sql' has a ..: {BESIDE}"),
    ("given", "sqlite: {EBI-1: [before.sql, 7]}", "sqlite: {EBI-1: [before.sql]}",
     "4: EBI-1[1] is a number, where a file of SQL beside the spec is expected"),
    ("given", "sqlite: {EBI-1: null}\nhttp: {EBI-1: site}", "sqlite: {A: null}\nhttp: {B: site}",
     "4: EBI-1 is in sqlite and http, and can be one of these"),
    ("given", "files: [/etc/passwd]", "files: {etc/passwd: before.sql}",
     f"4: '/etc/passwd' begins at the root: {BELOW}"),
    ("given", "files: {a.csv: /etc/passwd}", "files: {a.csv: before.sql}",
     f"4: '/etc/passwd' begins at the root: {BESIDE}"),
    ("given", "files: [site]", "files: [site/index.html]", "4: 'site' is not a file"),
    ("given", "files: {../a.csv: before.sql}", "files: {..a.csv: before.sql}",
     f"4: '../a.csv' has a ..: {BELOW}"),
    ("given", 'files: ["a\\nb"]', "files: [before.sql]",
     f"4: 'a\\nb' has a character that is none of a name: {BELOW}"),
    ("given", f"files: [{'a' * 256}]", "files: [before.sql]",
     f"4: '{'a' * 59}…' is too long: {BELOW}"),
    ("given", "files: [absent]", "files: {before.sql: absent}",
     "4: absent takes a file away in a mapping alone: {name: absent}"),
    ("given", "files: {a: before.sql, a/b: before.sql}", "files: {ab: before.sql, a/b: before.sql}",
     "4: a/b is below a, which is a file, too"),
    ("given", "http: {WEB: site}\nhttps: {WEB: site}", "http: {WEB: site}\nhttps: {API: site}",
     "4: WEB is in http and https, and can be one of these"),
    ("given", "http: {WEB: sites}", "http: {WEB: site}",
     "4: there is no folder 'sites' beside the spec: did you mean site?"),
    ("given", "http: {WEB: before.sql}", "http: {WEB: ./site}", "4: 'before.sql' is not a folder"),
    ("given", "http: {WEB: {/flights: {text: a}}}", "http: {WEB: {GET /flights: {text: a}}}",
     "4: '/flights' is a key, where a request (GET /flights?month=1) is expected"),
    ("given", "http: {WEB: {GET /a: {status: 99}}}", "http: {WEB: {GET /a: {status: 503}}}",
     "4: status is 99, where a status from 200 to 599 is expected"),
    ("given", "http: {WEB: {GET /a: {text: a, json: b}}}", "http: {WEB: {GET /a: {json: b}}}",
     "4: an answer has one body: json and text are there"),
    ("given", "http: {WEB: {GET /a: {body: a}}}", "http: {WEB: {GET /a: {file: before.sql}}}",
     "4: 'body' is no key of an answer, which has status, headers, json, text and file"),
    ("given", 'http: {WEB: {GET /a: {headers: {A: "b\\r\\nC: d"}}}}',
     "http: {WEB: {GET /a: {headers: {A: b}}}}",
     "4: A is another text, where a text of one line is expected"),
    ("given", "configs: {a.b: {c: 1}}", "config: {a.b: {c: 1}}",
     "4: 'configs' is no key of what is given: did you mean config or conf?"),
    ("given", "config: {a..b: {c: 1}}", "config: {a.b: {c: 1}}",
     "4: 'a..b' is not the name of a config: folders and file are joined by dots, "
     "as in 'folder1.folder2.config_name'"),
    ("given", "config: {a.b: 1}", "config: {a.b: {}}",
     "4: a.b is a number, where a mapping of what differs in the config is expected"),
    ("given", "credentials: {EBI-1: {password: hunter2}}", "credentials: {EBI-1: {pass: hunter2}}",
     "4: 'password' is no key of a credential: did you mean pass?"),
    ("given", "credentials: {EBI-1: {pass: 2718}}", 'credentials: {EBI-1: {pass: "2718"}}',
     "4: pass is a number, where a text is expected"),
    ("given", "connections: {db: hunter2}", 'connections: {db: "http://:hunter2@db"}',
     "4: db is another text, where a URI (http://user@host:80) is expected"),
    ("given", 'connections: {db: "http://a", DB: "http://b"}', 'connections: {db: "http://a"}',
     "4: DB is to Airflow the same as db"),
    ("given", "variables: {a: null}", "variables: {a: {b: null}}",
     "4: a is nothing, where a text, or what is kept as JSON is expected"),
    ("given", "triggers: {genes_daily: done}", "triggers: {genes_daily: failed}",
     "4: genes_daily is 'done', where success or failed is expected"),
    ("given", "triggers: [genes_daily]", "triggers: {genes_daily: success}",
     "4: triggers is a list, where a mapping from ids of DAGs to success or failed is expected"),
    ("given", "environment: {A-B: c}", "environment: {A_B: 1}",
     "4: 'A-B' is a key, where the name of an environment variable (letters, digits and _) "
     "is expected"),
    ("given", "environment: {A: true}", 'environment: {A: "true"}',
     "4: A is true, where a text or a number is expected"),
    ("given", "environment: {AIRFLOW_CONN_DB: a}", "connections: {db: 'a:'}",
     "4: AIRFLOW_CONN_DB is set by the case itself: write it in given.connections"),
    ("given", "environment: {HOME: /root}", "environment: {HOMES: /root}",
     "4: HOME is set by the case itself"),
    ("given", "conf: [1]", "conf: {a: [1]}", "4: conf is a list, where a mapping is expected"),
    ("given", "logical_date: 2026-01-31", 'logical_date: "2026-01-31"',
     '4: given.logical_date is read as a date: quote it, "2026-01-31"'),
    ("given", 'logical_date: "31.1.2026"', 'logical_date: "2026-01-31 22:30"',
     '4: logical_date is \'31.1.2026\', where a date in quotes ("2026-01-31T22:30:00Z") '
     "is expected"),
    ("given", 'logical_date: "2026-02-30"', 'logical_date: "2024-02-29"',
     "4: 2026-02-30 is a day or a time that there is not"),
    ("case", "given: {down: [EBI-2]}", "given: {down: [EBI-1, WEB]}",
     "6: EBI-2 is given in none of postgres, sqlite, http, https: did you mean EBI-1?"),
    ("case", "given: {down: EBI-1}", "given: {down: []}",
     "6: down is a text, where a list of databases and sources is expected"),
    ("case", "given: {postgres: {WEB: null}}", "given: {postgres: {EBI-1: null}}",
     "6: WEB is in postgres and http, and can be one of these"),
    ("case", "given: {down: [EBI-1], meanwhile: {a: {EBI-1: DELETE}}}",
     "given: {down: [WEB], meanwhile: {a: {EBI-1: DELETE}}}",
     "6: EBI-1 is down in this case, and cannot be changed"),
    # Changes.
    ("case", "given: {meanwhile: {a: {EBI-3: DELETE}}}", "given: {meanwhile: {a: {EBI-1: DELETE}}}",
     "6: 'EBI-3' is no key of a change: did you mean EBI-1?"),
    ("case", "given: {meanwhile: {a: {}}}", "given: {meanwhile: {a: {files: {}}}}",
     "6: a is an empty mapping, where a change (SQL by database, and files) is expected"),
    ("case", 'given: {meanwhile: {"a[*]": {EBI-1: a}}}', 'given: {meanwhile: {"a[1]": {EBI-1: a}}}',
     f"6: 'a[*]' is a key, where {TASK} is expected"),
    ("case", "given: {meanwhile: {a: {files: {b: null}}}}",
     "given: {meanwhile: {a: {files: {b: absent}}}}",
     "6: b is nothing, where a file beside the spec, or absent is expected"),
    # What is expected of a run.
    ("expect", "stat: failed", "state: failed",
     "6: 'stat' is no key of an expectation: did you mean state?"),
    ("expect", "state: fialed", "state: success",
     "6: state is 'fialed', where success or failed is expected: did you mean failed?"),
    ("expect", "check: load\nstate: success", "check: load\nstate: failed",
     "6: a run whose check fails is no success: leave out state, or check"),
    ("expect", "check: [load]", "check: load", "6: check is a list, where " + KEY + " is expected"),
    ("expect", "failed: load", "failed: [load]",
     "6: failed is a text, where a list of tasks is expected"),
    ("expect", "again: {again: {}}", "again: {alerts: []}",
     "6: 'again' is no key of an expectation, which has state, check, failed, skipped, alerts, "
     "tasks, files and EBI-1; a database is one of given.postgres or given.sqlite"),
    ("expect", "state: failed\nagain: {alerts: []}", "state: success\nagain: {alerts: []}",
     "7: again is no run of this case: write runs: [once, again]"),
    ("expect", "alerts: resolve", "alerts: [resolve]",
     "6: alerts is a text, where a list of alerts is expected"),
    ("expect", "alerts: [resolved]", "alerts: [resolve]",
     f"6: alerts[0] is 'resolved', where {ALERT} is expected"),
    ("expect", "alerts: [{trigger: a, severty: info}]", "alerts: [{trigger: a, severity: info}]",
     "6: 'severty' is no key of an alert: did you mean severity?"),
    ("expect", "alerts: [{severity: info}]", "alerts: [{trigger: , severity: info}]",
     "6: an alert has one of trigger, acknowledge, resolve"),
    ("expect", "alerts: [{trigger: a, resolve: }]", "alerts: [{trigger: }, {resolve: }]",
     "6: an alert has one of trigger, acknowledge, resolve"),
    # What is expected of a task.
    ("expect", "tasks: [load]", "tasks: {load: {state: success}}",
     "6: tasks is a list, where a mapping from tasks to expectations is expected"),
    ("expect", "tasks: {load: {}}", "tasks: {load: {returns: null}}",
     "6: load is an empty mapping, where the expectation of a task "
     "(state, returns, files, unverified or a database) is expected"),
    ("expect", "tasks:\n  load[x]: {returns: 1}", "tasks:\n  load[*]: {returns: 1}",
     f"7: 'load[x]' is a key, where {KEY} is expected"),
    ("expect", "tasks:\n  load[01]: {returns: 1}", "tasks:\n  load[1]: {returns: 1}",
     f"7: 'load[01]' is a key, where {KEY} is expected"),
    ("expect", "tasks: {1: {returns: 1}}", 'tasks: {"1": {returns: 1}}',
     f"6: 1 is a key, where {KEY} is expected"),
    ("expect", "tasks: {load: {state: sucess}}", "tasks: {load: {state: skipped}}",
     "6: state is 'sucess', where success, failed, skipped, upstream_failed or removed "
     "is expected: did you mean success?"),
    ("expect", 'tasks: {load: {unverified: " "}}', "tasks: {load: {unverified: it raises}}",
     "6: unverified is ' ', where a reason of one line is expected"),
    ("expect", "tasks: {load: {unverified: it raises, returns: 7}}", "tasks: {load: {returns: 7}}",
     "6: load is unverified, and something is expected of it: leave out one"),
    ("expect", "tasks: {load: {return: 7}}", "tasks: {load: {returns: 7}}",
     "6: 'return' is no key of the expectation of a task: did you mean returns?"),
    # Tables and files.
    ("expect", "EBI-2: {SELECT 1: a.csv}", "EBI-1: {SELECT 1: a.csv}",
     "6: 'EBI-2' is no key of an expectation: did you mean EBI-1?"),
    ("expect", "ORACLE: {SELECT 1: a.csv}", "EBI-1: {SELECT 1: a.csv}",
     "6: 'ORACLE' is no key of an expectation, which has again, lost, state, check, failed, "
     "skipped, alerts, tasks, files and EBI-1; a database is one of given.postgres or "
     "given.sqlite"),
    ("expect", "EBI-1: {SELECT 1: 7}", "EBI-1: {SELECT 1: {rows: 7}}",
     f"6: SELECT 1 is a number, where {GOLDEN} is expected"),
    ("expect", "EBI-1: {SELECT a, b: a.csv}", 'EBI-1: {"SELECT a, b": a.csv}',
     f"6: SELECT a is nothing, where {GOLDEN} is expected; "
     "inside { } SQL that has a comma is a key in quotes"),
    ("expect", "EBI-1: {SELECT 1: {rows: -1}}", "EBI-1: {SELECT 1: {rows: 0}}",
     "6: rows is -1, where a whole number from 0 is expected"),
    ("expect", "EBI-1: {SELECT 1: {rows: true}}", "EBI-1: {SELECT 1: {rows: 1}}",
     "6: rows is true, where a whole number from 0 is expected"),
    ("expect", "EBI-1: {SELECT 1: {text: a}}", "files: {a.csv: {text: a}}",
     "6: 'text' is no key of a golden beside the spec, which has rows"),
    ("expect", "EBI-1: {SELECT 1: site}", "EBI-1: {SELECT 1: site/a.csv}",
     "6: 'site' is not a file"),
    ("expect", "EBI-1: {SELECT 1: other.flow.yaml}", "EBI-1: {SELECT 1: other.yaml}",
     "6: 'other.flow.yaml' is a spec, and no golden"),
    ("expect", "EBI-1: {SELECT 1: /a.csv}", "EBI-1: {SELECT 1: a.csv}",
     f"6: '/a.csv' begins at the root: {BESIDE}"),
    ("expect", "EBI-1:\n  SELECT 1: a.csv\n  SELECT 1;: b.csv", "EBI-1: {SELECT 1;: a.csv}",
     "8: the query is there twice, first in line 7"),
    ("expect", 'EBI-1: {" ": a.csv}', "EBI-1: {SELECT 1: a.csv}",
     "6: ' ' is a key, where a query in SQL is expected"),
    ("expect", "EBI-1: {}", "tasks: {}",
     "6: EBI-1 is an empty mapping, where a mapping from SQL to what it gives is expected"),
    ("expect", "files: {a: {rows: 1, text: a}}", "files: {a: {rows: 1}, b: {text: a}}",
     f"6: a is a mapping of 2, where {FILE} is expected"),
    ("expect", "files: {../a: a}", "files: {a: a}", f"6: '../a' has a ..: {BELOW}"),
    ("expect", "files: {a: null}", "files: {a: absent}",
     f"6: a is nothing, where {FILE} is expected"),
    ("expect", "files: {a: b, ./a: absent}", "files: {a: b, b: absent}",
     "6: a is there twice, first in line 6"),
]  # fmt: skip


def spec(where, lines):
    return TOPS[where] + textwrap.indent(lines, INDENTS[where]) + "\n"


@pytest.mark.parametrize(
    ("where", "wrong", "right", "told"),
    [(*row[:3], row[3:]) for row in ROWS],
    ids=[row[1][:40] for row in ROWS],
)
def test_a_mistake_is_told_with_its_line_and_what_is_nearly_one_is_read(
    flows, where, wrong, right, told
):
    assert flows.mistakes(spec(where, wrong)) == [*told]
    flows.read(spec(where, right))


def test_all_mistakes_of_a_spec_are_told_at_once_in_their_order(flows):
    found = flows.mistakes(
        "workflow: a b\n"
        "given:\n"
        "  postgres: {EBI-1: befor.sql}\n"
        "  files: [7, /etc/passwd]\n"
        "cases:\n"
        "  one:\n"
        "    given: {logical_date: 2026-01-31, down: [EBI-7]}\n"
        "    expect:\n"
        "      stat: failed\n"
        "  two: {runs: [again]}\n"
    )
    assert [line.partition(":")[0] for line in found] == ["1", "3", "4", "7", "9", "10", "10"]


def test_a_database_is_one_of_its_own_case_and_answers_there(flows):
    assert flows.mistakes(
        "workflow: a\n"
        "given: {sqlite: {A: null, C: null}}\n"
        "cases:\n"
        "  one: {given: {sqlite: {B: null}, down: [C]}, expect: {A: {Q: a.csv}, B: {Q: a.csv}}}\n"
        "  two:\n"
        "    given: {down: [A]}\n"
        "    expect:\n"
        "      A: {Q: {rows: 1}}\n"
        "      B: {Q: {rows: 1}}\n"
    ) == [
        "8: A is down in this case, and answers no query",
        "9: B is no database that this case is given",
    ]


def test_a_section_with_a_mistake_makes_no_other_mistakes(flows):
    """The database is named, though not as it should be, so asking it is right."""
    assert flows.mistakes(
        "workflow: a\n"
        "given: {postgres: [EBI-1]}\n"
        "cases:\n"
        "  one: {expect: {EBI-1: {SELECT 1: a.csv}}}\n"
        "  two: {expect: {}, given: {down: [EBI-1]}}\n"
    ) == ["2: postgres is a list, where a mapping from credentials to SQL files is expected"]
