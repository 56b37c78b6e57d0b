"""An HTTP server that answers writes as InfluxDB is documented to.

Its limits: it takes every line for right that a test did not name as poison, keeps points by their series
and times as text, knows one organisation and any bucket or none, and answers only those questions of the
write side that ask for sources, beats, claims and notes, of plain names and texts. What InfluxDB really
takes, deletes and computes only a real server shows.
"""

from __future__ import annotations

import gzip
import json
import re
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tailmetrics.settings import Settings

RESET = "reset"
STALL = "stall"


@dataclass(frozen=True)
class Answer:
    """An answer out of the ordinary to one write; with `keeps` the lines are stored all the same."""

    status: int | str
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    keeps: bool = False


class Stub:
    """What was written, what is answered next, and which lines are poison (a part of them is given)."""

    def __init__(self) -> None:
        self.points: dict[str, dict[str, str]] = {}  # bucket -> series and time -> fields
        self.answers: deque[Answer] = deque()  # to records
        self.meta_answers: deque[Answer] = deque()
        self.poison: dict[str, str] = {}  # part of a line -> message
        self.most_lines = 10**9
        self.writes: list[tuple[str, int, int]] = []  # bucket, status, lines
        self.sizes: list[int] = []
        self.retention_seconds = 0
        self.meta_retention_seconds = 0
        self.has_buckets = True
        self.orgs = [{"id": "0123456789abcdef", "name": "org"}]
        self.made: list[dict[str, Any]] = []  # buckets
        self.makes = Answer(201)
        self.may_write = True
        self.schema_type = "implicit"
        self.lookup: Answer | None = None  # instead of the buckets
        self.version: str | None = None  # in the headers of each answer
        self.pings = Answer(204)
        self.queries: deque[Answer] = deque()
        self.prefix = ""  # of paths that are known, as behind a proxy
        self.released = threading.Event()
        self.url = ""
        self._lock = threading.Lock()

    def lines(self, bucket: str, measurement: str) -> list[str]:
        found = self.points.get(bucket, {})
        return [f"{key} {fields}" for key, fields in found.items() if key.startswith(measurement)]

    def write(self, bucket: str, body: bytes) -> Answer:
        lines = body.decode().splitlines()
        if not self.may_write:
            return Answer(403, "insufficient permissions for write")
        with self._lock:
            answers = self.answers if bucket == "bucket" else self.meta_answers
            answer = answers.popleft() if answers else None
            if answer is None:
                answer = self._usual(lines)
            if answer.status == 204 or answer.keeps:
                self._keep(bucket, lines)
            self.sizes.append(len(body))
            self.writes.append((bucket, answer.status if isinstance(answer.status, int) else 0, len(lines)))
        return answer

    def _usual(self, lines: list[str]) -> Answer:
        if len(lines) > self.most_lines:
            return Answer(413, "request entity too large")
        for part, message in self.poison.items():
            if any(part in line for line in lines):
                return Answer(400, message)
        return Answer(204)

    def _keep(self, bucket: str, lines: list[str]) -> None:
        for line in lines:
            series, fields, time = re.fullmatch(r"((?:\\.|[^ \\])+) (.*) (-?\d+)", line).groups()
            self.points.setdefault(bucket, {})[f"{series} {time}"] = fields

    def _claims(self, measurement: str, processor: str) -> str:
        texts = [
            line.partition('holder="')[2][:-1].replace('\\"', '"').replace('"', '""')
            for line in self.lines("bucket_meta", f"{measurement},")
            if f"processor={processor} " not in line and not line.endswith('holder=""')
        ]
        head = ["#datatype,string,long,string", "#group,false,false,false", "#default,claims,,"]
        rows = [f',,0,"{text}"' for text in texts]
        return "\r\n".join([*head, ",result,table,_value", *rows, "", ""]) if rows else ""

    def _note(self, name: str) -> str:
        rows = []
        for line in self.lines("bucket_meta", f"note,name={name},"):
            piece, text = re.fullmatch(r'.*,piece=(\d+) 0 text="(.*)"', line).groups()
            rows.append(f',,0,{piece},"{text}"')
        head = ["#datatype,string,long,string,string", "#group,false,false,false,false", "#default,note,,,"]
        return "\r\n".join([*head, ",result,table,piece,_value", *rows, "", ""]) if rows else ""

    def answer_to(self, query: dict[str, Any]) -> str:
        """The rows that the write side asks for, as CSV."""
        params = {
            option["assignment"]["id"]["name"]: option["assignment"]["init"]
            for option in query["extern"]["body"]
        }
        if claim := re.search(r'"(\w*claim)"', query["query"]):
            return self._claims(claim[1], params["id"]["value"])
        if "name" in params:
            return self._note(params["name"]["value"])
        if "id" in params:
            series = f"processor,processor={params['id']['value']} 0"
            beat = self.points.get("bucket_meta", {}).get(series, "beat=0i")
            head = ["#datatype,string,long,long", "#group,false,false,false", "#default,beats,,"]
            return "\r\n".join([*head, ",result,table,_value", f",,0,{beat[5:-1]}", "", ""])
        wanted = [option["value"] for name, option in params.items() if name.startswith("id_")]
        rows = []
        for line in self.lines("bucket_meta", "source,"):
            source_id = re.search(r"source=(\w+)", line)[1]
            state = re.search(r'state="((?:\\.|[^"\\])*)"', line)[1].replace('\\"', '"').replace("\\\\", "\\")
            if source_id in wanted or "node" in params:
                quoted = state.replace('"', '""')
                rows.append(f',,0,{source_id},"{quoted}"')
        head = [
            "#datatype,string,long,string,string",
            "#group,false,false,false,false",
            "#default,sources,,,",
        ]
        return "\r\n".join([*head, ",result,table,source,_value", *rows, "", ""]) if rows else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def do_GET(self) -> None:
        path = self._known_path()
        if path is None:
            return
        if path == "/ping":
            self._answer(self.stub.pings)
            return
        if path == "/query":  # InfluxQL, of buckets that are no databases
            self._answer(Answer(404, "database not found"))
            return
        if self.stub.lookup is not None:
            self._answer(self.stub.lookup)
            return
        if path == "/api/v2/orgs":
            self._send(200, json.dumps({"orgs": self.stub.orgs}).encode())
            return
        name = parse_qs(urlsplit(self.path).query)["name"][0]
        if not self.stub.has_buckets:
            message = {"code": "not found", "message": f'bucket "{name}" not found'}
            self._send(404, json.dumps(message).encode())
            return
        seconds = self.stub.retention_seconds if name == "bucket" else self.stub.meta_retention_seconds
        rules = [{"type": "expire", "everySeconds": seconds}] if name == "bucket" or seconds else []
        bucket = {"id": "b", "name": name, "orgID": "o", "retentionRules": rules}
        bucket["schemaType"] = self.stub.schema_type
        self._send(200, json.dumps({"buckets": [bucket]}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target, path = urlsplit(self.path), self._known_path()
        if path is None:
            return
        if path == "/api/v2/query":
            if self.stub.queries:
                self._answer(self.stub.queries.popleft())
                return
            self._send(200, self.stub.answer_to(json.loads(body)).encode(), {"Content-Type": "text/csv"})
            return
        if path == "/api/v2/buckets":
            made, answer = json.loads(body), self.stub.makes
            if answer.status == 201:
                self.stub.made.append(made)
            self._send(int(answer.status), json.dumps({"message": answer.message, **made}).encode())
            return
        assert self.headers["Content-Encoding"] == "gzip"
        answer = self.stub.write(parse_qs(target.query)["bucket"][0], gzip.decompress(body))
        if answer.status == STALL:
            self.stub.released.wait(60)
        if isinstance(answer.status, str):
            self.close_connection = True
            return
        self._answer(answer)

    def _known_path(self) -> str | None:
        """The path behind the prefix; without it there is nothing, as at a proxy."""
        path = urlsplit(self.path).path
        if path.startswith(f"{self.stub.prefix}/"):
            return path.removeprefix(self.stub.prefix)
        self._answer(Answer(404, "nothing at this path"))
        return None

    def _answer(self, answer: Answer) -> None:
        message = {"code": "any", "message": answer.message}
        body = b"" if answer.status == 204 else json.dumps(message).encode()
        self._send(int(answer.status), body, answer.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        version = {"X-Influxdb-Version": self.stub.version} if self.stub.version else {}
        for name, value in {"Content-Type": "application/json", **version, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Say nothing."""


@contextmanager
def stub_server(tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """A stub that answers until the end, over TLS when it has a certificate for that."""
    stub = Stub()
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    stub.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def settings_of_stub(stub: Stub, **changes: Any) -> Settings:
    given = {"influxdb_url": stub.url, "influxdb_org": "org", "influxdb_bucket": "bucket"}
    given |= {"store_url": "influxdb://", "influxdb_token": "t", **changes}
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]
