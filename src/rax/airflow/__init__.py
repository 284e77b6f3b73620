# SPDX-License-Identifier: Apache-2.0
"""What Airflow loads from rax by its class path."""
