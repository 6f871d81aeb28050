"""What an address of `--cluster` means, as far as no cluster has to answer."""

from __future__ import annotations

import sys

import pytest
from ondisk import imported

from nbpipe.cluster import dask_connection, dask_probe
from nbpipe.errors import UsageError


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("gateway+https://hub.example.org/services/dask", "https://hub.example.org/services/dask"),
        ("gateway+http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("gateway://hub.example.org", "https://hub.example.org"),
        ("gateway://", None),
    ],
)
def test_the_url_of_a_gateway(address: str, url: str | None) -> None:
    assert dask_connection.gateway_url(address) == url


def test_a_gateway_without_its_client_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported("distributed")
    monkeypatch.setitem(sys.modules, "dask_gateway", None)
    with pytest.raises(UsageError, match="client of Dask Gateway is not installed") as caught:
        dask_connection.connect("gateway+https://hub.example.org", local=1)
    assert caught.value.hint == "pip install dask-gateway"


def test_a_probe_reads_a_kernels_python_as_jupyter_client_does() -> None:
    from pathlib import Path  # noqa: PLC0415

    answer = dask_probe.probe("/nowhere", "/nowhere.ipynb", ("python3", "no-such"))
    assert answer["kernels"] == {"python3": str(Path(sys.executable).parent.resolve())}
    assert (answer["token"], answer["notebook"]) == ("", False)
