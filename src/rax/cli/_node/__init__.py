# SPDX-License-Identifier: Apache-2.0
"""What ``rax status`` asks this node: a file for each question, and how all of them are asked.

A question is a function without arguments that returns a Part. It may fail or hang; it is asked in
a process of its own, with a limit, as the account of the tasks unless it needs root.
"""
