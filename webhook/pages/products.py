"""Data products of reference runs as files: to keep, and small pictures to look at.

Only what the manifest names is given, and only from within the folder that holds the products: a
link that leads elsewhere is not followed out of it. Everything is an attachment but a picture whose
first bytes say that it is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, abort, send_file

if TYPE_CHECKING:
    from pathlib import Path

    from nbpipe.reference.manifest import Manifest
    from nbpipe.reference.store import StoredRelease, StoredRun

LARGEST_PICTURE = 5_000_000
"""Bytes of a picture that a page shows; any is given as a file."""
SHOWN = 500
"""Products in the table of a record."""
_PICTURES = {"png": (b"\x89PNG\r\n\x1a\n", "image/png"), "jpeg": (b"\xff\xd8\xff", "image/jpeg")}
_POLICY = "sandbox; default-src 'none'"


def there(stored: StoredRun | StoredRelease, path: str) -> Path | None:
    """Return a product's file; None where it is gone, a folder, or lies elsewhere."""
    try:
        folder = stored.files
        if folder is None:
            return None
        folder = folder.resolve()
        file = (folder / path).resolve()
        inside = file.is_relative_to(folder) and file.is_file()
    except (OSError, ValueError, RuntimeError):
        return None
    return file if inside else None


def is_picture(file: Path, kind: str) -> bool:
    """Return whether a page can show it."""
    return kind in _PICTURES and file.stat().st_size <= LARGEST_PICTURE


def given(stored: StoredRun | StoredRelease, made: Manifest, path: str, *, shown: bool) -> Response:
    """Answer with a product.

    Args:
        stored: The run or the release.
        made: Its manifest.
        path: As the manifest names it.
        shown: As a picture for a page; otherwise to be kept.
    """
    output = next((each for each in made.outputs if each.path == path), None)
    file = there(stored, path) if output else None
    if output is None or file is None:
        abort(404, "no such file: it is gone, a folder, or not below the run's own folder")
    if not shown:
        response = send_file(
            file,
            "application/octet-stream",
            as_attachment=True,
            download_name=file.name,
            conditional=False,
            etag=False,
        )
    elif is_picture(file, output.kind):
        start, mimetype = _PICTURES[output.kind]
        with file.open("rb") as stream:
            if stream.read(len(start)) != start:
                abort(404, "it is not a picture")
        response = send_file(file, mimetype, conditional=False, etag=False)
    else:
        abort(404, "it is not a picture that a page can show")
    response.headers["Content-Security-Policy"] = _POLICY
    return response
