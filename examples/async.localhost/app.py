"""An ASGI application without a framework: a page, a stream of events, and a WebSocket echo."""

import asyncio
import os
from datetime import datetime
from itertools import count
from pathlib import Path
from string import Template

import uvicorn

HERE = Path(__file__).parent
SHARED = HERE.parent / "shared"
PAGE = Template((HERE / "page.html").read_text()).substitute(
    version=uvicorn.__version__, pid=os.getpid(), since=f"{datetime.now():%H:%M:%S}"
)
FILES = {
    "/": (b"text/html; charset=utf-8", PAGE.encode()),
    "/style.css": (b"text/css", (SHARED / "style.css").read_bytes()),
    "/sites.js": (b"text/javascript", (SHARED / "sites.js").read_bytes()),
}


async def app(scope, receive, send):
    match scope["type"], scope.get("path"):
        case "lifespan", _:
            await lifespan(receive, send)
        case "websocket", "/echo":
            await echo(receive, send)
        case "websocket", _:
            await send({"type": "websocket.close"})
        case "http", "/events":
            await events(send)
        case "http", path if path in FILES:
            await respond(send, 200, *FILES[path])
        case _:
            await respond(send, 404, b"text/plain", b"Not found\n")


async def lifespan(receive, send):
    for step in "startup", "shutdown":
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def respond(send, status, kind, body):
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def events(send):
    """Sends an event a second until the client leaves, when uvicorn makes send() raise."""
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in count(1):
        event = f"id: {number}\ndata: {datetime.now():%H:%M:%S}  event {number}\n\n"
        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await asyncio.sleep(1)


async def echo(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({**message, "type": "websocket.send"})
