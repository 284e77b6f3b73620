#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation; the action of the same name does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_report
short_description: Say whether all is well in the cluster
version_added: 0.1.0
description:
  - Puts together what M(caspian.airflow.health_answer) returned for each host of the play, which
    was registered in C(__health_status), and for the cluster, in C(__health_cluster). It fails
    where something is wrong, with a line for each problem.
  - The file has C(checked_at), C(hosts) (for each its C(state), which is C(answered), or why it has
    not, and its C(versions)) and C(problems), a list of C(host), C(component), C(kind) and
    C(problem). The first three stay the same for as long as the problem does.
options:
  path:
    description: The file on the controller, which gets the mode 0600; empty for none.
    type: path
    default: ""
  tolerate:
    description: Kinds of problems that are told and are no failure.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Writes nothing.
    support: full
  diff_mode:
    description: It is no change of any host.
    support: none
author:
  - The caspian-deploy maintainers (@caspian-deploy)
"""

EXAMPLES = r"""
- name: Report whether all is well
  caspian.airflow.health_report:
    path: /var/lib/monitoring/airflow.json
  run_once: true
"""

RETURN = r"""#"""
