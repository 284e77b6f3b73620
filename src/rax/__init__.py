# SPDX-License-Identifier: Apache-2.0
"""What the workflows of a caspian-deploy cluster import.

``rax.credentials``
    the credentials that the vault's refresh has locked into this node's files
``rax.config``
    the YAML configs of the release that the running task is pinned to
``rax.alerting``
    alerts through PagerDuty
``rax.workflow``
    the shape of a workflow: check → task → summary
``rax.airflow``
    the parts that Airflow itself loads; only these import Airflow
``rax.cli``
    the command ``rax``, which shows all of this and what is wrong with it
``rax.errors``
    what all of the above raise: a ``RaxError``
"""

__version__ = "0.1.0"
