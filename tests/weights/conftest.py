"""Tests here need Jittor, brought up as the command does it."""

from __future__ import annotations

from unidet.backend.runtime import bring_up

bring_up()
