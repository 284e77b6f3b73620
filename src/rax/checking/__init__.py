# SPDX-License-Identifier: Apache-2.0
"""``rax check``: what is wrong with a DAG repository, before anything of it is merged.

A stage takes a Project and returns an Outcome; _stages has them in order. The reports show what
the stages found: on a terminal, as JUnit files, as a page for a pull request.
"""
