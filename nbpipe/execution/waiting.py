"""Waiting for whichever comes first."""

from __future__ import annotations

import asyncio
from typing import Any


async def first_of(*futures: asyncio.Future[Any], seconds: float | None = None) -> None:
    """Return when one of the futures is done, or when the time is over; none is cancelled."""
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
