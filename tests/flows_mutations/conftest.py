"""Its repository is a matter of the processes that run its workflow."""

collect_ignore = ["repository"]
