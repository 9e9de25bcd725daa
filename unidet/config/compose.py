"""Composes `conf/` and key=value overrides into the typed configuration, with Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from importlib import resources
from typing import Any

from unidet.config.defaults_lists import defaults_fault
from unidet.config.folders import searched_folders
from unidet.config.kept import kept
from unidet.config.overrides import fault, parsed, readable, refuse_launchers
from unidet.config.pages import check_aliases
from unidet.config.prepare import PreparedData
from unidet.config.study import Config
from unidet.config.validate import build, build_config, unknown_key
from unidet.errors import UserError, suggestion
from unidet.redaction import redact_argument


def compose(overrides: Sequence[str], recorded: Mapping[str, Any] | None = None) -> Config:
    """The typed configuration from `conf/` and the overrides.

    Args:
        recorded: subtrees that replace those of `conf/`, such as an artefact's; overrides take
            precedence.

    Raises:
        UserError: one line that names the key and the allowed values.
    """
    refuse_launchers(overrides)
    if recorded:
        return build_config(_plain_values(list(overrides), recorded))
    return kept(overrides, lambda: build_config(_plain_values(list(overrides), {})))


def compose_prepared(name: str, overrides: Sequence[str]) -> PreparedData:
    """The page `conf/prepare/NAME.yaml` with the overrides.

    Raises:
        UserError: there is no such page; else as for `compose`.
    """
    if name not in prepared_names():
        raise UserError(
            f"data prepare: no data set {name!r}; {suggestion(name, prepared_names())}there are "
            f"{', '.join(prepared_names())}"
        )
    page = f"prepare/{name}"
    return build(PreparedData, _plain_values(list(overrides), {}, page, PreparedData))


def prepared_names() -> list[str]:
    """The pages of `conf/prepare/`, sorted."""
    pages = (page.name for page in resources.files("unidet.conf").joinpath("prepare").iterdir())
    return sorted(name.removesuffix(".yaml") for name in pages if name.endswith(".yaml"))


def _plain_values(
    overrides: list[str],
    recorded: Mapping[str, Any],
    page: str = "config",
    schema: type = Config,
) -> dict[str, Any]:
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    opened = [_open(readable(override)) for override in overrides]
    try:
        check_aliases(searched_folders(overrides))
        with initialize_config_module("unidet.conf", version_base="1.3"):
            composed = _composed(page, opened)
            pages = [f"+rpn@proposers.{name}={name}" for name in _merged(composed)]
            if pages:
                composed = _composed(page, [*pages, *opened])
            plain: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore
            _put(plain, recorded, overrides)
            return plain
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
        # Hydra raises TypeError for lists in place of page names.
        raise UserError(explain(error, overrides, schema=schema)) from None
    except RecursionError:
        raise UserError(
            "configuration: nested endlessly; does a page of -C or --config-dir name itself in "
            "its defaults?"
        ) from None


def _composed(page: str, overrides: list[str]) -> Any:
    """What Hydra, which is initialized, composes.

    Raises:
        UserError: a list of defaults names or replaces a page that there is not.
    """
    from hydra import compose as hydra_compose
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.object_type import ObjectType
    from hydra.errors import ConfigCompositionException

    def known(group: str) -> list[str]:
        kind = ObjectType.CONFIG if group else ObjectType.GROUP
        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group, kind, page, overrides)

    try:
        return hydra_compose(page, overrides=overrides)
    except ConfigCompositionException as error:
        if said := defaults_fault(str(error), known):
            raise UserError(said) from None
        raise


def _merged(composed: Mapping[str, Any]) -> list[str]:
    """The pages of `conf/rpn/` named in `proposals.merge`; the schema validates the list itself.

    Raises:
        UserError: a name that no page can have, or a value for a network not named in it.
    """
    names = _below(composed, "proposals").get("merge")
    listed = names if isinstance(names, Sequence) and not isinstance(names, str) else ()
    pages = list(dict.fromkeys(name for name in listed if isinstance(name, str)))
    for name in pages:
        if not re.fullmatch(r"[\w-]+", name):
            raise UserError(f"proposals.merge: {name!r} is not the name of a page of conf/rpn/")
    for name in _below(composed, "proposers"):
        if name not in pages:
            raise UserError(f"proposers.{name}: proposals.merge does not name {name!r}")
    return pages


def _below(composed: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping at a key; empty if the value is not a mapping, which the schema rejects."""
    value = composed.get(name)
    return value if isinstance(value, Mapping) else {}


def _put(plain: dict[str, Any], recorded: Mapping[str, Any], overrides: list[str]) -> None:
    """Replaces subtrees of `plain` with recorded ones, then applies the overrides to them.

    A subtree stays as composed if an override chooses its page (`rpn=PAGE`). Recorded values may
    come from another machine, so `${…}` in them is plain text and not interpolated.
    """
    given = map(parsed, overrides)
    keys = [str(item.key_or_group) for item in given if not item.is_delete()]
    for name, subtree in recorded.items():
        if name not in keys:
            composed, plain[name] = plain.get(name, {}), deepcopy(dict(subtree))
            for key in keys:
                first, *path = key.split(".")
                if first == name:
                    _copy(composed, plain[name], path)


def _copy(source: dict[str, Any], target: dict[str, Any], path: list[str]) -> None:
    """Copies the value at a path from `source` to `target`."""
    *above, last = path
    for step in above:
        source, target = source[step], target.setdefault(step, {})
    target[last] = source[last]


def explain(
    error: Exception, overrides: Sequence[str], *, sweep: bool = False, schema: type = Config
) -> str:
    """Hydra's error as one line: which argument it concerns, and what is allowed."""
    for override in overrides:
        if message := fault(override, sweep):
            return message
    message = _text(error)
    unknown = re.match(r"Could not override '([\w.@/]+)'", message)
    if unknown:
        known_keys = [item.name for item in fields(schema)]
        if unknown[1] in known_keys:  # no page gives it a value
            name = unknown[1]
            return f"{name}: takes no value itself; single values are given like {name}.key=value"
        return unknown_key(schema, [unknown[1]], known_keys)
    absent = re.match(r"Could not delete from config\. '([^']+)' does not exist", message)
    if absent:
        return (
            f"~{absent[1]}: there is no such key in this study, so it cannot be removed; unidet "
            "config prints all that there are"
        )
    options = re.search(
        r"Could not find '([\w/]+)/([^/']*|\.[^']*)'\s+"
        r"Available options in .*:\s+((?:\w+\n\s*)+?)Config search",
        message,
    )
    if options:
        known = ", ".join(options[3].split())
        return f"{options[1]}: there is no {options[2]!r}; there are {known}"
    if message.startswith("Interpolation"):
        where = next((override for override in overrides if "${" in override), "the configuration")
        secret = redact_argument(where) != where  # whose part Hydra takes for a key
        reason = "cannot be resolved" if secret else message.splitlines()[0]
        return f"{where}: {reason}; ${{…}} stands for another key's value"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(
        line for line in lines if not line.startswith(("See https", "full_key", "object_type"))
    )


def _text(error: BaseException) -> str:
    """An error's message, or its cause's: the message of Hydra's own error may be empty."""
    behind = error.__cause__ or error.__context__
    if str(error).strip() or behind is None:
        return str(error) or type(error).__name__
    return f"configuration: cannot be composed ({_text(behind)})"


def _open(override: str) -> str:
    """`a.b=c` as `++a.b=c`, so that Hydra accepts any key; the schema validates it.

    Otherwise a field with a default could not be set, because no file in `conf/` contains it.
    """
    return f"++{override}" if re.match(r"(?!hydra\.)\w+(\.\w+)+=", override) else override
