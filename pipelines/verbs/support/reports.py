"""Selects a report of this store or of another study."""

from __future__ import annotations

import os
import re
from pathlib import Path

from unidet.config.folders import STUDY
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.verbs.support.selection import select
from unidet.pipelines.wiring.report_comparison import Report
from unidet.report.html.provenance import reports_on
from unidet.store.record import Action
from unidet.store.store import Store

_DELIVERED = re.compile(r"-([0-9a-f]{12})\.html$")


def report_of(what: str, config: Config, store: Store) -> Report:
    """The report that `what` names.

    Args:
        what: as `select` takes it; a page that a run has left; or a study that `unidet new` made,
            or a store: its newest report. Paths may lead into another store than `store`.

    Raises:
        UserError: there is none, or it is an artefact of another stage.
    """
    path = Path(os.path.abspath(what))
    study = _store_of_study(path)
    if study is not None or (path / "store" / "v1").is_dir():
        return _newest(what, Store(study or path))
    theirs = next((place for place in path.parents if (place / "store" / "v1").is_dir()), None)
    if theirs is not None and path.exists():
        store = Store(theirs) if theirs != Path(os.path.abspath(store.root)) else store
    named = _named(what, path)
    try:
        (action,) = select(named, config, store)[:1]
    except UserError:
        if not path.is_file():
            raise
        shows = f"shows the report {named}, which" if named != what else "shows no report that"
        raise UserError(
            f"{what}: {shows} store {store.root} {'does not hold' if named != what else 'holds'}; "
            "give the folder of its study or store, stage report, or a page that it has left"
        ) from None
    if action.stage != "report":
        raise UserError(f"{what}: is an artefact of {action.label}; name one of stage report")
    return _report(action, store)


def _named(what: str, path: Path) -> str:
    """The digits of the report that a page shows, by its name or by what it says; others as they
    are.

    Raises:
        UserError: the page compares several.
    """
    if delivered := _DELIVERED.search(what):
        return delivered[1]
    if path.suffix != ".html" or not path.is_file():
        return what
    shown = reports_on(path.read_text(encoding="utf-8", errors="replace"))
    if len(shown) > 1:
        raise UserError(f"{what}: compares several reports; name one of them: {', '.join(shown)}")
    return shown[0] if shown else what


def _store_of_study(folder: Path) -> Path | None:
    """Where the study in a folder leaves its artefacts; None where the folder holds no study."""
    if not (folder / STUDY).is_file():
        return None
    from unidet.config.compose import compose
    from unidet.config.folders import take_folders

    folders, _ = take_folders(["-C", str(folder)])
    return Path(compose(folders.before([])).store.root)


def _newest(what: str, store: Store) -> Report:
    whole = (action for action in store.actions("report") if store.is_complete(action))
    action = next(whole, None)
    if action is None:
        raise UserError(f"{what}: its store {store.root} holds no report; run its stage=report")
    return _report(action, store)


def _report(action: Action, store: Store) -> Report:
    """A store in a study's folder belongs to it: `unidet new` puts it there."""
    place = Path(os.path.abspath(store.root)).parent
    return Report(action, store, place.name if (place / STUDY).is_file() else "")
