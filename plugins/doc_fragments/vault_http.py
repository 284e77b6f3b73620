# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the lookups that ask a vault over HTTPS."""

from __future__ import annotations


class ModuleDocFragment:
    """What the arguments of plugin_utils/vault_http.py's VaultClient come from."""

    DOCUMENTATION = r"""
options:
  ca_path:
    description:
      - A file of CA certificates in PEM form, or a directory of them by hash, to trust instead of
        the system's. Certificates are always verified.
    type: path
    vars:
      - name: caspian_vault_ca_path
    env:
      - name: CASPIAN_VAULT_CA_PATH
  proxy:
    description:
      - URL of a proxy to ask through, C(http://proxy.example.org:3128) or
        C(http://USER:PASSWORD@proxy.example.org:3128). The environment's C(HTTPS_PROXY) is not
        used.
    type: str
    vars:
      - name: caspian_vault_proxy
    env:
      - name: CASPIAN_VAULT_PROXY
  timeout:
    description: Seconds that a connection, or the next part of a reply, may take.
    type: float
    default: 10
    vars:
      - name: caspian_vault_timeout
    env:
      - name: CASPIAN_VAULT_TIMEOUT
  retries:
    description:
      - How often a request is repeated after a time-out, a broken or refused connection, or a
        status of 429, 500, 502, 503 or 504. Pauses between grow, and are no shorter than the
        server's C(Retry-After).
    type: int
    default: 4
    vars:
      - name: caspian_vault_retries
    env:
      - name: CASPIAN_VAULT_RETRIES
  total_timeout:
    description: Seconds that the whole lookup may take, all requests, repetitions and pauses.
    type: float
    default: 120
    vars:
      - name: caspian_vault_total_timeout
    env:
      - name: CASPIAN_VAULT_TOTAL_TIMEOUT
"""
