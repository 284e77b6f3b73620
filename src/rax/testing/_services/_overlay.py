# SPDX-License-Identifier: Apache-2.0
"""The configs of a case: files that are merged over those of the repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rax.config import _files, _yaml
from rax.config._dumper import config_dumper
from rax.errors import ConfigNotFoundError, ServiceError


def write_configs(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Write each config as a file that the strict loader reads back the same.

    :raises ServiceError: it has no name that a config can have, or a value that no file can hold
    """
    for name, values in configs.items():
        try:
            _files.check_name(name)
        except ConfigNotFoundError as error:
            raise ServiceError(str(error)) from None
        try:
            text = yaml.dump(_plain(values), Dumper=config_dumper(), sort_keys=False)
        except yaml.YAMLError:
            text = ""
        document, problems = _yaml.read(text.encode())
        if problems or document != _plain(values):
            why = problems[0].text if problems else "a value is none that YAML holds"
            raise ServiceError(f"the config {name} that the case is given: {why}")
        path = _files.path_of(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
