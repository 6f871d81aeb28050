"""Pages looked at in a real browser: Chromium, driven by playwright-core, judged by axe-core."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ondisk import lacking

NODE = Path(__file__).parent / "integration" / "node"
_PACKAGES = ("axe-core", "playwright-core")
EVERYWHERE = (("light", 1200), ("dark", 1200), ("light", 400), ("dark", 400))
"""Colour scheme and width in pixels."""


def look(looks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a browser sees; `integration/node/look.mjs` tells the keys.

    Skips where node, its packages or Chromium are missing.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None or shutil.which("node") is None:
        lacking("Chromium or node")
    for package in _PACKAGES:
        if not (NODE / "node_modules" / package).is_dir():
            lacking(f"npm's {package} in {NODE}")
    done = subprocess.run(
        ["node", str(NODE / "look.mjs")],
        input=json.dumps(looks),
        env=os.environ | {"NBPIPE_CHROMIUM": str(browser)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def sound(answer: dict[str, Any]) -> None:
    """Assert that a page is as every page must be."""
    assert answer["violations"] == []
    assert answer["console"] == []
    assert answer["overflow"] <= 0, "the page is wider than its window"
