# SPDX-License-Identifier: Apache-2.0
"""Configs as files that the strict loader reads the same again."""

from typing import Any


def config_dumper() -> Any:
    """Return a dumper that writes a config as people do, so that get_config() reads the same again.

    A list of scalars is in one line, all else line by line.
    """
    import yaml

    from rax.config._plain_words import surprise

    class Dumper(yaml.SafeDumper):
        def represent_list(self, data: Any) -> Any:
            flow = not any(isinstance(item, dict | list) for item in data)
            return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)

        def ignore_aliases(self, _data: Any) -> bool:
            return True

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            # A text for which another tag is found gets quotes.
            tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML's
            is_text = kind is yaml.ScalarNode and implicit[0] and tag == self.DEFAULT_SCALAR_TAG
            return None if is_text and surprise(value) else tag

    Dumper.add_representer(list, Dumper.represent_list)
    return Dumper
