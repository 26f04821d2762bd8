#!/usr/bin/env python3
"""The ClickHouse engine itself behind its HTTP interface, for tests: a chdb session (`pip install chdb-core`) that answers
the official `clickhouse` crate and curl.

    clickhouse.py --dir DIR --port PORT [--follow]     (port 0: a free one; prints `listening on http://127.0.0.1:PORT`)

Answers: GET /ping; queries in the URL or the body, multipart parameters (`param_x`, bound by the engine), settings and
`database` in the URL, `default_format`; inserts whose data is the body, whole or chunked. Not: compressed bodies, users,
sessions, progress headers. A body that breaks off inserts nothing. What is in DIR outlives kill -9.
"""

import argparse
import contextlib
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

try:
    from chdb.session import Session
except ImportError:
    sys.exit("the module chdb is missing: pip install chdb-core")

# Of the URL's fields these are not settings.
FIELDS = {"query", "database", "default_format", "user", "password", "query_id", "session_id", "decompress", "compress", "role"}
INSERT = re.compile(r"^\s*INSERT\s+INTO\s.*?\sFORMAT\s+(\w+)\s*$", re.IGNORECASE | re.DOTALL)
FORMAT = re.compile(r"\sFORMAT\s+\w+\s*$", re.IGNORECASE)
IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
# HTTP status by exception code, as the server's own table; 400 is for what the asker did wrong.
STATUS = {60: 404, 81: 404, 218: 404, 36: 400, 43: 400, 44: 400, 46: 400, 47: 400, 53: 400, 62: 400, 115: 400, 456: 400, 457: 400, 497: 403}


class Refused(Exception):
    """Answered with this status and text."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Engine:
    """A few sessions on one folder; each does one thing at a time, and one that waits is lent out."""

    def __init__(self, folder, sessions):
        self.free = queue.LifoQueue()
        self.defaults = {}
        for _ in range(sessions):
            self.free.put(Session(folder))

    @contextlib.contextmanager
    def session(self, database, settings):
        session = self.free.get()
        changed = []
        try:
            session.query("USE " + quoted(database or "default"))
            for name, _ in settings:
                if name not in self.defaults:
                    found = session.query(f"SELECT value FROM system.settings WHERE name = '{name}'", "TSVRaw").bytes()
                    self.defaults[name] = found.decode().rstrip("\n")
            changed = [name for name, _ in settings]
            if settings:
                session.query("SET " + ", ".join(f"{name} = {literal(value)}" for name, value in settings))
            yield session
        finally:
            if changed:
                session.query("SET " + ", ".join(f"{name} = {literal(self.defaults[name])}" for name in changed))
            self.free.put(session)

    def insert(self, sql, fmt, data, database, settings):
        with self.session(database, settings) as session:
            with session.send_insert(FORMAT.sub("", sql), fmt) as inserter:
                # One piece: one block, one part for each partition.
                inserter.append(data)
                return inserter.finish().rows_written

    def query(self, sql, fmt, params, database, settings):
        with self.session(database, settings) as session:
            return bytes(session.query(sql, fmt, params=params).bytes() or b"")


def quoted(name):
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def multipart(kind, body):
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if boundary is None:
        raise Refused(400, "a multipart body without its boundary")
    mark = b"--" + boundary.group(1).encode()
    fields = {}
    for part in body.split(mark)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is None or not value.endswith(b"\r\n"):
            raise Refused(400, "a part of the multipart body has no name or no end")
        fields[name.group(1).decode()] = value[:-2].decode()
    return fields


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    engine = None
    slow = None
    sql = ""

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_):
        pass

    def body(self):
        """The whole body; a connection that breaks off in its middle raises."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while True:
                size = self.rfile.readline()
                if not size:
                    raise ConnectionError("the body broke off")
                n = int(size.split(b";")[0], 16)
                piece = self.exactly(n)
                self.rfile.readline()
                if n == 0:
                    return b"".join(pieces)
                pieces.append(piece)
        return self.exactly(int(self.headers.get("Content-Length") or 0))

    def exactly(self, n):
        data = self.rfile.read(n)
        if len(data) != n:
            raise ConnectionError("the body broke off")
        return data

    def do_GET(self):
        if urlsplit(self.path).path in ("/ping", "/replicas_status"):
            return self.answer(200, b"Ok.\n")
        return self.do_POST()

    def do_POST(self):
        try:
            body = self.body()
        except (ConnectionError, ValueError):
            self.close_connection = True
            return
        began = time.monotonic()
        try:
            self.answer(200, self.run(body))
        except Refused as e:
            self.answer(e.status, str(e).encode())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as e:  # noqa: BLE001 (whatever the engine says is the answer)
            text = str(e)
            code = re.search(r"Code: (\d+)", text)
            code = int(code.group(1)) if code else 1002
            self.answer(STATUS.get(code, 500), text.encode(), [("X-ClickHouse-Exception-Code", str(code))])
        if self.slow is not None and time.monotonic() - began >= self.slow:
            print(f"{(time.monotonic() - began) * 1e3:.1f} ms: {self.sql}", file=sys.stderr, flush=True)

    def run(self, body):
        url = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if url.get("decompress", "0") != "0":
            raise Refused(501, "compressed bodies are not taken here: connect with compression none")
        kind = self.headers.get("Content-Type", "")
        fields = {}
        if kind.startswith("multipart/form-data"):
            fields = multipart(kind, body)
            body = b""
        params = {k[6:]: v for k, v in (url | fields).items() if k.startswith("param_")}
        settings = [(k, v) for k, v in url.items() if k not in FIELDS and not k.startswith("param_")]
        for name, _ in settings:
            if not IDENTIFIER.match(name):
                raise Refused(400, f"'{name}' is no setting")
        sql = url.get("query", "") or fields.get("query", "")
        self.sql = sql or body.decode(errors="replace")
        insert = INSERT.match(sql)
        if insert and (body or "query" in url):
            self.engine.insert(sql, insert.group(1), body, url.get("database"), settings) if body else None
            return b""
        sql = (sql + "\n" + body.decode()).strip().rstrip(";")
        if not sql:
            raise Refused(404, "no query")
        return self.engine.query(sql, url.get("default_format", "TabSeparated"), params, url.get("database"), settings)

    def answer(self, status, data, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    args = argparse.ArgumentParser(description="ClickHouse over HTTP, for tests")
    args.add_argument("--dir", required=True, help="where the tables live")
    args.add_argument("--port", type=int, default=0)
    args.add_argument("--sessions", type=int, default=4, help="queries at a time")
    args.add_argument("--slow", type=float, metavar="MS", help="print statements that take so long")
    args.add_argument("--follow", action="store_true", help="end when standard input does: with whoever started this")
    args = args.parse_args()
    os.makedirs(args.dir, exist_ok=True)
    Handler.engine = Engine(os.path.abspath(args.dir), args.sessions)
    Handler.slow = None if args.slow is None else args.slow / 1e3
    server = Server(("127.0.0.1", args.port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    if args.follow:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    server.server_close()
    # Sessions end with the process; the engine's own threads would keep it.
    os._exit(0)


if __name__ == "__main__":
    main()
