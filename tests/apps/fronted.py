"""An ASGI app that shows what a front let through, when it is told to, step by step."""

import asyncio
import hashlib
import json

# bytes of the upload that came in last; event streams that ended because their client had left
counts = {"received": 0, "left": 0}
steps = asyncio.Semaphore(0)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in "startup", "shutdown":
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        await PATHS[scope["path"]](scope, receive, send)


async def answer(send, **facts):
    body = json.dumps(facts).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def who(scope, receive, send):
    """What uvicorn makes of the request, and the fields as they came."""
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
    client = scope["client"] and scope["client"][0]
    await answer(send, scheme=scope["scheme"], client=client, headers=headers)


async def upload(scope, receive, send):
    digest, more = hashlib.sha256(), True
    counts["received"] = 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        counts["received"] += len(message["body"])
        digest.update(message["body"])
        more = message["more_body"]
    await answer(send, length=counts["received"], sha=digest.hexdigest())


async def state(scope, receive, send):
    await answer(send, **counts)


async def step(scope, receive, send):
    """Lets the next event be sent."""
    steps.release()
    await answer(send)


async def start_events(send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def event(send, number, more=True):
    body = b"data: event %d\n\n" % number
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def events(scope, receive, send):
    """Three events, each but the first after a /step."""
    await start_events(send)
    await event(send, 0)
    await steps.acquire()
    await event(send, 1)
    await steps.acquire()
    await event(send, 2, more=False)


async def endless(scope, receive, send):
    """Events until the client has left."""
    await start_events(send)
    gone = asyncio.ensure_future(receive_until_gone(receive))
    number = 0
    while not gone.done():
        await event(send, number)
        number += 1
        await asyncio.sleep(0.02)
    counts["left"] += 1


async def receive_until_gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


async def echo(receive, send):
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({**message, "type": "websocket.send"})


PATHS = {
    "/who": who,
    "/upload": upload,
    "/state": state,
    "/step": step,
    "/events": events,
    "/endless": endless,
}
