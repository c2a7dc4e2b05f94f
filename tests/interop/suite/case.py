"""A case, as the suite sees it from outside and as the case itself sees its place inside."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from .prepare import Cache


@dataclasses.dataclass(frozen=True)
class Case:
    """One promise, kept or not within `limit` seconds."""

    name: str
    promise: str
    run: Callable
    # See `prepare`.
    needs: tuple
    limit: int = 300
    # Part of --quick, else only of --all or by name.
    quick: bool = False
    # Runs beside the others from the beginning: it mostly waits.
    beside: bool = False
    # What is broken on purpose; the case then has to fail with words like `fails_with`.
    sabotage: str | None = None
    fails_with: str | None = None


@dataclasses.dataclass(frozen=True)
class Place:
    """What a case is given inside its sandbox."""

    hub: Path
    cache: Cache
    # Kept; every component's log.
    logs: Path
    # Removed at the end.
    state: Path
    sabotage: str | None
