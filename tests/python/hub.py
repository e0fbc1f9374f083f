"""A server that answers as a hub of models does, and does to a client what networks do."""

import hashlib
import http.server
import json
import threading
import urllib.parse


class Hub:
    """Files of one repository. `faults` are taken in their order, one for each request of a file's content."""

    def __init__(self, files, repository="owner/repo"):
        self.files = dict(files)
        self.repository = repository
        self.faults = []
        self.list_faults = []
        self.sha256 = {}  # what is stated in place of the right one
        self.sizes = {}
        self.paths = []  # further paths that the list claims
        self.requests = []  # (path, headers)
        self.page_size = 1000
        self.redirect_to = None
        self.needs_token = None
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.requests.append((self.path, dict(self.headers)))
                hub.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def content_requests(self):
        return [(path, headers) for path, headers in self.requests if "/resolve/" in path or "/cdn/" in path]

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        if url.path == f"/api/models/{self.repository}/tree/main":
            return self.answer_list(handler, urllib.parse.parse_qs(url.query))
        for prefix in (f"/{self.repository}/resolve/main/", "/cdn/"):
            if url.path.startswith(prefix):
                return self.answer_file(handler, urllib.parse.unquote(url.path[len(prefix):]), prefix == "/cdn/")
        return send(handler, 404, b"{}")

    def answer_list(self, handler, query):
        if self.needs_token and handler.headers.get("Authorization") != f"Bearer {self.needs_token}":
            return send(handler, 401, b"{}")
        if self.list_faults:
            fault = self.list_faults.pop(0)
            return send(handler, *fault) if isinstance(fault, tuple) else send(handler, fault, b"{}")
        entries = [{"type": "directory", "path": "sub", "oid": "0", "size": 0}]
        for path in [*self.files, *self.paths]:
            content = self.files.get(path, b"GGUF")
            size = self.sizes.get(path, len(content))
            sha256 = self.sha256.get(path, hashlib.sha256(content).hexdigest())
            entries.append({"type": "file", "path": path, "oid": "1" * 40, "size": size,
                            "lfs": {"oid": sha256, "size": size, "pointerSize": 134}})
        first = int(query.get("cursor", ["0"])[0])
        headers = {}
        if first + self.page_size < len(entries):
            headers["Link"] = f'<{self.address}{handler.path.split("?")[0]}?cursor={first + self.page_size}>; rel="next"'
        return send(handler, 200, json.dumps(entries[first:first + self.page_size]).encode(), headers)

    def answer_file(self, handler, path, is_cdn):
        if self.redirect_to and not is_cdn:
            return send(handler, 302, b"", {"Location": self.redirect_to + urllib.parse.quote(path)})
        content = self.files[path]
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            return send(handler, fault, b"an error page")
        first = 0
        wanted = handler.headers.get("Range")
        if wanted and fault != "no ranges":
            first = int(wanted.removeprefix("bytes=").split("-")[0])
        status = 206 if wanted and fault != "no ranges" else 200
        body = content[first:]
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        extra = b"more" if fault == "too long" else b""
        handler.send_header("Content-Length", str(len(body) + len(extra)))
        handler.end_headers()
        if isinstance(fault, tuple) and fault[0] == "cut":
            handler.wfile.write(body[:fault[1]])
            handler.wfile.flush()
            handler.close_connection = True
            return handler.connection.close()
        return handler.wfile.write(body + extra)


def send(handler, status, body, headers=None):
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
