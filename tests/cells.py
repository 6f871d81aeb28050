"""Cells and notebooks as JSON, for tests that need no file of nbformat's."""

from __future__ import annotations

import hashlib
from typing import Any

PYTHON = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def code(
    source: str,
    *outputs: dict[str, Any],
    count: int | None = None,
    **more: Any,  # noqa: ANN401
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": more.pop("id", _mark(source)),
        "metadata": more.pop("metadata", {}),
        "source": source,
        "outputs": list(outputs),
        "execution_count": count,
        **more,
    }


def prose(source: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    mark = _mark(source)
    return {"cell_type": "markdown", "id": mark, "metadata": {}, "source": source, **more}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(mime: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"output_type": "display_data", "data": {mime: value}, "metadata": {}}


def notebook(*cells: dict[str, Any], minor: int = 5, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "cells": list(cells),
        "metadata": {**PYTHON, **metadata},
        "nbformat": 4,
        "nbformat_minor": minor,
    }


ERROR = {"output_type": "error", "ename": "NameError", "evalue": "x", "traceback": ["a"]}


def _mark(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:8]
