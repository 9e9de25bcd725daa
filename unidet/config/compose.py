"""From what a person gives as key=value to the typed configuration, by Hydra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from unidet.config.study import Config
from unidet.config.validate import build_config, unknown_key
from unidet.errors import UserError


def compose(overrides: Sequence[str]) -> Config:
    """The typed configuration that `conf/` and the overrides make.

    Raises:
        UserError: one line that names the key and what is allowed.
    """
    return build_config(_plain_values(list(overrides)))


def _plain_values(overrides: list[str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_module("unidet.conf", version_base="1.3"):
            composed = hydra_compose("config", overrides=list(map(_open, overrides)))
            return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(str(error))) from None


def explain(message: str) -> str:
    """Hydra's many lines as one, with the keys or options that would have been right."""
    unknown = re.match(r"Could not override '([\w.@/]+)'", message)
    if unknown:
        return unknown_key([unknown[1]], [item.name for item in fields(Config)])
    options = re.search(
        r"Could not find '([\w/]+)/([^/']*)'\s+"
        r"Available options in .*:\s+((?:\w+\n\s*)+?)Config search",
        message,
    )
    if options:
        known = ", ".join(options[3].split())
        return f"{options[1]}: there is no {options[2]!r}; there are {known}"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(
        line for line in lines if not line.startswith(("See https", "full_key", "object_type"))
    )


def _open(override: str) -> str:
    """`a.b=c` as `++a.b=c`: Hydra then sets whatever key it is, and the schema judges it.

    Otherwise a field with a default could not be given, because no file in `conf/` names it.
    `stage=proposals[val]` becomes `stage=proposals:val`: brackets are lists to Hydra.
    """
    override = re.sub(r"^stage=(\w+)\[(.+)\]$", r"stage=\1:\2", override)
    return f"++{override}" if re.match(r"\w+(\.\w+)+=", override) else override
