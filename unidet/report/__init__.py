"""Figures, tables and the HTML report."""

import logging


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


# What Matplotlib's package itself warns of, not its parts: where it cannot keep its settings, and
# what a user's say. No figure depends on either (`style.figure_style`).
logging.getLogger("matplotlib").addFilter(_is_error)
