"""The same history on a server of PostgreSQL."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from pasts import opened, postgresql
from storage import Storage

from nbpipe.history import HistoryError
from nbpipe.history.engine import address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


class TestPostgresql(Storage):
    @pytest.fixture
    def url(self, server: str, tmp_path: Path) -> str:
        name = f"history{next(_NUMBERS)}"
        engine = sa.create_engine(address(server, tmp_path), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return server.replace("/postgres", f"/{name}")


def test_a_message_never_holds_the_password(server: str, tmp_path: Path) -> None:
    wrong = server.replace("secret%20word", "guessed")
    with pytest.raises(HistoryError, match="password authentication failed") as caught:
        opened(wrong, tmp_path)
    assert "guessed" not in str(caught.value)
    assert "tester:***@127.0.0.1" in str(caught.value)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"127\.0\.0\.1:1/") as caught:
        opened("postgresql://tester@127.0.0.1:1/nothing", tmp_path)
    assert "See that it can be reached" in str(caught.value)
