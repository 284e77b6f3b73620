# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report what the control node's timers have found, by metrics and alerts.

systemd runs it after each run of caspian-refresh.service (command refresh) and of
caspian-watch.service (command watch), by ExecStopPost, whose SERVICE_RESULT, EXIT_CODE and
EXIT_STATUS say how the playbook ended; the report that the playbook writes says what it found.
ExecStartPre removes the report of the run before; should one come again all the same, it counts as
missing. A run that is stopped (SIGTERM: systemctl stop, a shutdown) is neither good nor failed,
once; stopped twice in a row is a failure.

`refresh` alerts once, when so many runs in a row have failed, and resolves that by the next good
run. `watch` opens an incident for each problem of the cluster that lasts for as long as its kind is
given, and resolves it when the problem is gone.

What could not be sent is sent by the next run. The state is written before and after sending: a
run that is killed between them makes PagerDuty get the event twice, with the same key, which adds
to the same incident, and never not at all.

It ends with 0 whatever happens, so that the unit's result stays the playbook's; what went wrong
is on standard error, and so in the journal.

It is installed on its own, beside the collection that the playbooks come from: an unusable checkout
of that is one of the failures that it reports.
"""
