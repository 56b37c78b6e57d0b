"""ClickHouse's engine as a server: chdb, behind as much of ClickHouse's HTTP protocol as its client needs.

`python -m tests.stores.clickhouse.front PORT FOLDER` serves the loopback until it is killed, and goes on with
what is in the folder when it is started again.

What is real: the engine, all of its SQL, tables on the disk, settings and parameters of queries, formats, the
numbers of errors. What is not: there are three users, none of whom the engine knows; a client that goes
away does not end its query; `query_id` is found by KILL QUERY alone; answers come whole and uncompressed,
without a summary; there are no sessions. There is no cluster: nothing Replicated or Distributed, and no
Keeper.
"""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
import re
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

from tests.servers import PASSWORD, USER

READER = "reader"  # who may change nothing, with the same password
WRITER = "writer"  # who may not delete

_NO_SETTINGS = {
    *("query", "database", "query_id", "session_id", "session_timeout", "wait_end_of_query", "buffer_size"),
    *("client_protocol_version", "enable_http_compression", "compress", "decompress", "role"),
    *("send_progress_in_http_headers", "http_headers_progress_interval_ms", "quota_key", "session_check"),
}
_UNPACK = {
    "gzip": gzip.decompress,
    "lz4": lz4.frame.decompress,
}
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)\s*?(?:\n|\Z)", re.IGNORECASE | re.DOTALL)
_STATUS = {60: 404, 81: 404, 159: 500, 202: 503, 241: 500, 252: 500, 516: 403, 164: 500}


class _Refused(Exception):
    """An error with a number of its own."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: of two, the second would wait for the first one's receipt
    disable_nagle_algorithm = True
    folder: str

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self._run()

    def do_POST(self) -> None:
        self._run()

    def log_message(self, *_: Any) -> None:
        """Nothing: errors are in the answers."""

    def _run(self) -> None:
        body = self._body()
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if self.headers.get_content_maintype() == "multipart":
            given, body = given | _form(self.headers["Content-Type"], body), b""
        connection = chdb.connect(self.folder)
        try:
            self._answer(200, self._result(connection, given, body))
        except (RuntimeError, chdb.ChdbError, _Refused) as error:
            text = str(error)
            found = re.search(r"Code: (\d+)", text)
            code = int(found[1]) if found else 1002
            self._answer(_STATUS.get(code, 500), text.encode(), {"X-ClickHouse-Exception-Code": str(code)})
        finally:
            connection.close()

    def _result(self, connection: Any, given: dict[str, str], body: bytes) -> bytes:
        user = self._user()
        if database := given.get("database"):
            connection.query(f"USE `{database}`")
        settings = {
            name: value
            for name, value in given.items()
            if name not in _NO_SETTINGS and not name.startswith("param_")
        }
        query = given.get("query", "").encode()
        if "query_id" in given:
            settings["log_comment"] = given["query_id"]
        if user == READER:
            settings["readonly"] = "1"
        if user == WRITER and b"DELETE" in (query or body).upper():
            if (query or body).startswith(b"CHECK GRANT"):
                return b"0\n"
            raise _Refused("Code: 497. DB::Exception: writer: Not enough privileges. (ACCESS_DENIED)")
        if settings:
            quoted = (f"{name} = '{value.translate(_ESCAPED)}'" for name, value in settings.items())
            connection.query("SET " + ", ".join(quoted))
        insert = _INSERT.match(query + b"\n" + body if query else body)
        if insert and insert[2].upper() != b"VALUES":
            data = body if query else body[insert.end() :]
            with connection.send_insert(insert[1].decode(), insert[2].decode()) as inserter:
                inserter.append(data)
                inserter.finish()
            return b""
        text = (query + b"\n" + body if query and body else query or body).decode()
        if text.lstrip().upper().startswith("KILL QUERY"):
            text = text.replace("query_id", "Settings['log_comment']")
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        return connection.query(text, "TabSeparated", params=parameters).bytes() or b""

    def _user(self) -> str:
        user, key = self.headers.get("X-ClickHouse-User", ""), self.headers.get("X-ClickHouse-Key", "")
        if given := self.headers.get("Authorization", "").removeprefix("Basic "):
            user, _, key = base64.b64decode(given).decode().partition(":")
        if user not in (USER, READER, WRITER) or key != PASSWORD:
            raise _Refused(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there "
                "is no user with such name. (AUTHENTICATION_FAILED)"
            )
        return user

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(pieces)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        unpack = _UNPACK.get(self.headers.get("Content-Encoding", ""))
        return unpack(body) if unpack else body

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_ESCAPED = str.maketrans({"'": "\\'", "\\": "\\\\"})


def _form(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form, as what is too long for an address comes."""
    form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    return {
        str(part.get_param("name", header="Content-Disposition")): part.get_payload(decode=True).decode()
        for part in form.get_payload()
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no error."""


def main(port: int, folder: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _Handler.folder = folder
    with chdb.connect(folder), _Server(("127.0.0.1", port), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
