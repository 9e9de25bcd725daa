"""CSV tables of artefacts, which may come from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from unidet.store.arrays import readable

if TYPE_CHECKING:
    import pandas as pd

Result = TypeVar("Result")


def read_table(path: Path, take: Callable[[pd.DataFrame], Result]) -> Result:
    """What `take` makes of the table.

    Raises:
        Malformed: it is no table, or not the one that `take` expects.
    """
    import pandas as pd

    with readable(path):
        return take(pd.read_csv(path))
