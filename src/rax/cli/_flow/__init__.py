# SPDX-License-Identifier: Apache-2.0
"""What ``rax flow`` is made of: the choice of cases, what it shows, and what it writes."""
