"""What functional tests of a workflow see: bugs are put into two workflows, one at a time.

Each has to be seen by the specs of its repository, and the workflows as they are have to pass, each
time. ``scripts/test mutations`` says which kind of expectation has seen which bug; it takes some
minutes, so it is no part of what CI does with each change.
"""
