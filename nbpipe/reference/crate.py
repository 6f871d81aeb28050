"""A reference run as others can read it: a Workflow Run RO-Crate, and a deposit for Zenodo.

The crate's metadata file stands beside the manifest and names the products where they are, by
their digests: nothing is copied. Needs the package rocrate (extra `reference`).

Sources: RO-Crate 1.1; Workflow Run RO-Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5) with the
profiles that it is based on; Zenodo's developer documentation, "Deposit metadata".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import secrets
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nbpipe.distribution import pip_install
from nbpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nbpipe.reference.manifest import Manifest, Output
    from nbpipe.reference.store import StoredRelease

METADATA = "ro-crate-metadata.json"
ZENODO = ".zenodo.json"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_CHUNK = 1 << 20
_LARGE = 1 << 30
"""Bytes from which a file of an archive has room for a size beyond 4 GB."""
JUPYTER = "https://jupyter.org/"
TYPES = {
    "fits": "application/fits",
    "hdf5": "application/x-hdf5",
    "netcdf": "application/x-netcdf",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
    "csv": "text/csv",
    "ecsv": "text/csv",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "votable": "application/x-votable+xml",
    "sqlite": "application/vnd.sqlite3",
}
"""Media types of kinds, in IANA's words where there are any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What only people know about a release."""

    title: str = ""
    creators: tuple[str, ...] = ()
    """`Family, Given`; none: the account that promoted it."""
    license: str = ""
    """An SPDX identifier, such as `CC-BY-4.0`."""


def metadata(manifest: Manifest, about: About) -> dict[str, Any]:
    """Return a release's crate as JSON-LD.

    Raises:
        UsageError: rocrate is not installed.
    """
    try:
        from rocrate.rocrate import ROCrate  # noqa: PLC0415  (slow, and an extra)
    except ImportError as error:
        raise UsageError(
            "rocrate is not installed: an RO-Crate cannot be made",
            hint=pip_install("reference"),
        ) from error
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms["sha256"] = "https://w3id.org/ro/terms/workflow-run#sha256"
    for entity in _entities(manifest, about):
        crate.add_or_update_jsonld(entity)
    made: dict[str, Any] = crate.metadata.generate()
    return made


def encoded(manifest: Manifest, about: About) -> bytes:
    """Return the crate's metadata file.

    Raises:
        UsageError: rocrate is not installed.
    """
    text = json.dumps(metadata(manifest, about), indent=1, ensure_ascii=False, sort_keys=True)
    return f"{text}\n".encode()


def deposit(manifest: Manifest, about: About) -> dict[str, Any]:
    """Return the metadata of a deposit, as Zenodo takes it."""
    found = {
        "title": _title(manifest, about),
        "upload_type": "dataset",
        "description": _description(manifest),
        "creators": [{"name": name} for name in _creators(manifest, about)],
        "version": manifest.release or manifest.run,
        "publication_date": _published(manifest)[:10],
        "keywords": ["reference run", "Jupyter", manifest.name],
        "access_right": "open",
    }
    return found | ({"license": about.license.lower()} if about.license else {})


def export(release: StoredRelease, target: Path, about: About, *, data: bool) -> int:
    """Write an archive of a release with its crate; return its bytes.

    Args:
        release: What to write.
        target: A new file; it appears whole.
        about: What only people know.
        data: With the data products.

    Raises:
        UsageError: There is such a file already, the data are gone or not what was promoted, or
            it cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target}: exists already", hint="Name a new file, or remove that one.")
    if data and release.files is None:
        raise UsageError(
            f"{release.name} {release.release}: its data products are gone",
            hint="`--without-data` makes an archive of the record alone.",
        )
    manifest = release.manifest()
    # Written beside its place and renamed: an archive that exists is complete.
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(METADATA, encoded(manifest, about))
            archive.writestr(ZENODO, json.dumps(deposit(manifest, about), indent=1))
            archive.write(release.folder / "manifest.json", "manifest.json")
            for path, wanted in _contents(manifest, data=data).items():
                _add(archive, release.folder / path, path, wanted)
        fresh.rename(target)
    except OSError as error:
        raise UsageError(
            f"{target}: cannot be written: {error.strerror}",
            hint="Check free space and permissions: nothing was left half written.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
    return target.stat().st_size


def _contents(manifest: Manifest, *, data: bool) -> dict[str, str]:
    """Return the files of a release, each with its digest: those of the manifest, and no others."""
    products = {f"files/{each.path}": each.sha256 for each in manifest.outputs if each.sha256}
    record = {f"record/{each.path}": each.sha256 for each in manifest.record}
    return dict(sorted({**(products if data else {}), **record}.items()))


def _add(archive: zipfile.ZipFile, file: Path, path: str, wanted: str) -> None:
    """Add a file to an archive, and hold what was added against its digest.

    Raises:
        UsageError: It cannot be read, or has other content than what was promoted.
        OSError: The archive cannot be written.
    """
    hint = "`nbpipe reference verify` names every such file."
    try:
        source = file.open("rb")
        info = zipfile.ZipInfo.from_file(file, path, strict_timestamps=False)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}", hint=hint) from error
    info.compress_type = zipfile.ZIP_DEFLATED
    found = hashlib.sha256()
    with source, archive.open(info, "w", force_zip64=info.file_size > _LARGE) as target:
        while chunk := source.read(_CHUNK):
            found.update(chunk)
            target.write(chunk)
    if found.hexdigest() != wanted:
        raise UsageError(f"{file}: has other content than what was promoted", hint=hint)


def _entities(manifest: Manifest, about: About) -> Iterator[dict[str, Any]]:
    """Yield everything that the crate holds; a later one adds to an earlier one of its id."""
    notebook = _id(f"record/notebook/{manifest.notebook.path}")
    results = [_id(f"files/{each.path}") for each in manifest.outputs if each.sha256]
    record = [_id(f"record/{each.path}") for each in manifest.record]
    people = [f"#{quote(name)}" for name in _creators(manifest, about)]
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": _title(manifest, about),
        "description": _description(manifest),
        "datePublished": _published(manifest),
        "version": manifest.release or manifest.run,
        "conformsTo": _refs(PROFILES),
        "mainEntity": {"@id": notebook},
        "mentions": {"@id": f"#{manifest.run}"},
        "hasPart": _refs(dict.fromkeys([notebook, *results, *record])),
        "author": _refs(people),
        "license": {"@id": _license(about)},
    }
    for profile, name in PROFILES.items():
        version = profile.rpartition("/")[2]
        yield {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
    yield {
        "@id": _license(about),
        "@type": "CreativeWork",
        "name": about.license or "All rights reserved",
        "description": about.license or "No licence was named when this release was exported.",
    }
    for name, identifier in zip(_creators(manifest, about), people, strict=True):
        yield {"@id": identifier, "@type": "Person", "name": name}
    yield from _workflow(manifest, notebook, results, people)
    yield from _parameters(manifest)
    yield from (_product(each) for each in manifest.outputs if each.sha256)
    for kept in manifest.record:
        if _id(f"record/{kept.path}") != notebook:
            yield {
                "@id": _id(f"record/{kept.path}"),
                "@type": "File",
                "name": kept.path,
                "contentSize": str(kept.bytes),
                "sha256": kept.sha256,
                "encodingFormat": _media_type(kept.path, ""),
            }


def _workflow(
    manifest: Manifest, notebook: str, results: list[str], people: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield the notebook, the language it is written in, and its run."""
    ended = manifest.environment.get("ended") or manifest.created
    yield {
        "@id": notebook,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": manifest.notebook.path,
        "sha256": manifest.notebook.sha256,
        "encodingFormat": "application/x-ipynb+json",
        "programmingLanguage": {"@id": JUPYTER},
        "version": manifest.commit or manifest.notebook.sha256,
        "input": _refs(f"#parameter-{quote(name)}" for name in manifest.parameters),
        "output": {"@id": "#products"},
        "author": _refs(people),
    }
    yield {
        "@id": JUPYTER,
        "@type": "ComputerLanguage",
        "name": "Jupyter Notebook",
        "alternateName": "ipynb",
        "url": {"@id": JUPYTER},
        "identifier": {"@id": JUPYTER},
    }
    yield {
        "@id": f"#{manifest.run}",
        "@type": "CreateAction",
        "name": f"Run {manifest.run} of {manifest.notebook.path}",
        "description": manifest.reason or "A reference run.",
        "instrument": {"@id": notebook},
        "object": _refs(f"#value-{quote(name)}" for name in manifest.parameters),
        "result": _refs(results),
        "agent": _refs(people[:1]),
        "endTime": ended,
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }
    yield {
        "@id": "#products",
        "@type": "FormalParameter",
        "name": "products",
        "description": "The data products of the notebook.",
        "additionalType": "File",
        "workExample": _refs(results),
    }


def _parameters(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Yield what the notebook can be given, and what this run gave it."""
    for name, value in manifest.parameters.items():
        kind = {bool: "Boolean", int: "Integer", float: "Float"}.get(type(value), "Text")
        yield {
            "@id": f"#parameter-{quote(name)}",
            "@type": "FormalParameter",
            "name": name,
            "additionalType": kind,
            "workExample": {"@id": f"#value-{quote(name)}"},
        }
        yield {
            "@id": f"#value-{quote(name)}",
            "@type": "PropertyValue",
            "name": name,
            "value": value if isinstance(value, (bool, int, float, str)) else json.dumps(value),
            "exampleOfWork": {"@id": f"#parameter-{quote(name)}"},
        }


def _product(output: Output) -> dict[str, Any]:
    return {
        "@id": _id(f"files/{output.path}"),
        "@type": "File",
        "name": output.path,
        "contentSize": str(output.bytes),
        "sha256": output.sha256,
        "encodingFormat": _media_type(output.path, output.kind),
        "exampleOfWork": {"@id": "#products"},
    }


def _refs(identifiers: Iterable[str]) -> Any:  # noqa: ANN401  (JSON-LD)
    """Return references; a single one stands alone (RO-Crate 1.1, appendix on JSON-LD)."""
    found = [{"@id": each} for each in identifiers]
    return found[0] if len(found) == 1 else found


def _id(path: str) -> str:
    return quote(path)


def _media_type(path: str, kind: str) -> str:
    return TYPES.get(kind) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def _title(manifest: Manifest, about: About) -> str:
    return about.title or f"{manifest.name} {manifest.release or manifest.run}: reference run"


def _description(manifest: Manifest) -> str:
    return (
        f"The reference run of {manifest.name} for release {manifest.release}: the executed "
        f"notebook {manifest.notebook.path} with its logs and {len(manifest.outputs)} data "
        f"products. {manifest.reason}"
    ).strip()


def _creators(manifest: Manifest, about: About) -> tuple[str, ...]:
    by = manifest.promoted.by if manifest.promoted else ""
    return about.creators or (by or "unknown",)


def _published(manifest: Manifest) -> str:
    return manifest.promoted.when if manifest.promoted else manifest.created


def _license(about: About) -> str:
    return f"https://spdx.org/licenses/{about.license}" if about.license else "#license"
