"""A stand-in for the server of Weights & Biases, to which wandb's real client uploads in tests.

It answers what `wandb sync` asks, and keeps what arrives: the lines of each run's history, and the files.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = 40 * "0"


@dataclass
class Server:
    """What the server holds, and how it behaves.

    Attributes:
        url: its address.
        refuse: the status that every request gets, 0 where requests are answered.
        cut: whether the connection is cut when the history comes.
        half: whether the connection is cut after the history was kept, as when an upload breaks off.
        history: run -> the lines of its history by their number.
        files: the names of the files that were put.
        asked: how often each operation was asked for.
        closed: the runs whose end was told.
        views: what was saved of views and reports.
    """

    url: str = ""
    refuse: int = 0
    cut: bool = False
    half: bool = False
    history: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    closed: set[str] = field(default_factory=set)
    views: list[dict[str, Any]] = field(default_factory=list)

    def lines(self, run: str) -> list[dict[str, Any]]:
        """Return the history of a run as it is shown: one line a step, in which a later value replaces an earlier."""
        shown: dict[int, dict[str, Any]] = {}
        for _, line in sorted(self.history.get(run, {}).items()):
            shown.setdefault(line["_step"], {}).update(line)
        return [shown[step] for step in sorted(shown)]

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a GraphQL operation."""
        entity = {"id": "e", "name": "lab"}
        project = {"id": "p", "name": "collapse_lab", "entity": entity}
        run = str(variables.get("name") or variables.get("run"))
        bucket = {
            "id": "b",
            "name": run,
            "displayName": run,
            "config": "{}",
            "summaryMetrics": "{}",
            "historyTail": json.dumps([json.dumps(line) for line in self.lines(run)[-1:]]),
            "eventsTail": "[]",
            "historyLineCount": len(self.history.get(run, {})),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "project": project,
        }
        if operation == "RunResumeStatus":
            return {"model": {**project, "bucket": bucket if run in self.history else None}}
        if operation == "UpsertBucket":
            return {"upsertBucket": {"bucket": bucket, "inserted": run not in self.history}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/put/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if operation == "CreateArtifact":
            sequence = {"latestArtifact": {"id": "a", "versionIndex": 0}}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        if "viewer" in operation.lower():
            return {"viewer": {**entity, "username": "lab", "entity": "lab", "flags": "{}", "teams": {"edges": []}}}
        if operation.lower().startswith("upsertview"):
            self.views.append(variables)
            return {"upsertView": {"view": {"id": f"v{len(self.views)}", "name": "n"}, "inserted": True}}
        if operation == "GetProjects":
            node = {"id": "p", "name": "lab", "entityName": "me", "createdAt": "", "isBenchmark": False, "user": None}
            page = {"endCursor": None, "hasNextPage": False}
            return {"models": {"pageInfo": page, "edges": [{"node": node}]}}
        if "project" in operation.lower():
            return {"project": {**project, "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ=="}}
        return {"serverInfo": {"features": []}}

    def stream(self, run: str, body: dict[str, Any]) -> None:
        """Keep the lines of a run's history at the places that the client names."""
        part = body.get("files", {}).get("wandb-history.jsonl")
        if part:
            kept = self.history.setdefault(run, {})
            kept |= {part["offset"] + number: json.loads(line) for number, line in enumerate(part["content"])}
        if body.get("complete"):
            self.closed.add(run)


class _Handler(BaseHTTPRequestHandler):
    state: Server

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/graphql"):
            operation = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])
            assert operation
            self.state.asked[operation[1]] += 1
            self._reply({"data": self.state.answer(operation[1], body.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            self.state.asked["file_stream"] += 1
            history = "wandb-history.jsonl" in body.get("files", {})
            if not (self.state.cut and history):
                self.state.stream(self.path.split("/")[-2], body)
            if (self.state.cut or self.state.half) and history:
                self.connection.close()
            else:
                self._reply({"limits": {}})
        else:
            self._reply({})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.state.files.add(self.path.removeprefix("/put/"))
        self._reply({})

    def _body(self) -> dict[str, Any]:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        try:
            body: dict[str, Any] = json.loads(raw)
        except ValueError:  # because the client's telemetry is no JSON
            return {}
        return body

    def _reply(self, answer: dict[str, Any]) -> None:
        refused = self.state.refuse
        raw = json.dumps({"errors": [{"message": "permission denied"}]} if refused else answer).encode()
        self.send_response(refused or 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def standing_in() -> Iterator[Server]:
    """Yield a server that answers on this machine inside the block."""
    state = Server()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
