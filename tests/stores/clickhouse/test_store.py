from __future__ import annotations

import socket
from typing import Any

import pytest

from tailmetrics.errors import StoreUnavailable
from tailmetrics.settings import Settings, load_settings
from tailmetrics.stores.clickhouse import connection, reader
from tailmetrics.stores.clickhouse.store import ClickHouseStore
from tests import servers
from tests.builders import at, batch_of, source_of
from tests.integration.running import free_port
from tests.stores.conftest import Ask


class TestAway:
    def test_a_server_that_is_away_is_waited_for(self, ask: Ask[Any]) -> None:
        url = f"clickhouse://user:secret@127.0.0.1:{free_port()}/logs"
        store = ClickHouseStore(load_settings(None, store_url=url))
        for call in (lambda: store.sources(None), lambda: ask(store.ping()), lambda: store.write([])):
            with pytest.raises(StoreUnavailable, match="does not answer") as away:
                call()
            assert "secret" not in str(away.value)
        store.close()

    @pytest.mark.timeout(30)
    def test_a_server_that_says_nothing_is_away(self, monkeypatch: pytest.MonkeyPatch, ask: Ask[Any]) -> None:
        for module in (connection, reader):
            monkeypatch.setattr(module, "CONNECT_SECONDS", 1)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"clickhouse://user:secret@127.0.0.1:{silent.getsockname()[1]}/logs"
            store = ClickHouseStore(load_settings(None, store_url=url, query_timeout_seconds=60))
            for call in (lambda: store.sources(None), lambda: ask(store.ping()), lambda: store.write([])):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    call()
            store.close()

    @pytest.mark.servers
    def test_one_that_was_closed_answers_nothing(self, settings: Settings, ask: Ask[Any]) -> None:
        store = ClickHouseStore(settings)
        store.close()
        for call in (lambda: store.sources(None), lambda: ask(store.ping())):
            with pytest.raises(StoreUnavailable, match="is closed"):
                call()


@pytest.mark.servers
class TestKilled:
    def test_a_server_that_was_killed_has_all_that_was_committed_when_it_is_back(self, ask: Ask[Any]) -> None:
        with servers.running(servers.ClickHouse) as server:
            store = ClickHouseStore(load_settings(None, store_url=server.new_database()))
            source = store.register(source_of())
            batch = batch_of(source, [(at("2024-10-10"), "a", "/", 200, 0.1)])
            store.write([batch])
            server.stop()
            with pytest.raises(StoreUnavailable, match="does not answer"):
                store.position(source.source_id)
            with pytest.raises(StoreUnavailable, match="does not answer"):
                ask(store.ping())
            server.start()
            assert store.position(source.source_id) == batch.checkpoint.position
            assert ask(store.status()).records == 1
            store.close()
