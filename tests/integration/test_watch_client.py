"""The client of the view in a terminal, and servers that are not what it hopes for."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from orderbook.watch.client import Client, NoLivePage
from orderbook.watch.model import Model
from tests.support.pushed import pushed, row
from tests.support.waiting import until


def url_of(server: Server) -> str:
    """Where a server listens."""
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


async def follow(url: str, condition: Callable[[Model], bool]) -> Model:
    """Follow a server until its model is so; whatever ends the client ends this too."""
    model = Model()
    client = asyncio.create_task(Client(url, model).run())
    try:
        await until(lambda: client.done() or condition(model))
        if client.done():
            client.result()
    finally:
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
    return model


@pytest.mark.parametrize("status", [HTTPStatus.NOT_FOUND, HTTPStatus.OK, HTTPStatus.FORBIDDEN])
def test_something_else_answers(status: HTTPStatus) -> None:
    """A server that has no push at the URL ends the client, and the error says what it answered."""

    async def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(status, "no push here\n")

    async def go() -> None:
        async with serve(
            lambda connection: connection.close(), "127.0.0.1", 0, process_request=refuse
        ) as server:
            with pytest.raises(NoLivePage, match=rf"/ws: HTTP {status.value}"):
                await follow(url_of(server), lambda model: False)

    asyncio.run(go())


@pytest.mark.parametrize("trouble", ["busy", "bad frame", "closed", "too large"])
def test_reconnects(trouble: str) -> None:
    """Where a server is full, sends nonsense or closes, the client says so and connects anew."""
    handshakes: list[str] = []
    reasons = {
        "busy": "HTTP 503",
        "bad frame": "a frame that can't be true: JSON is malformed",
        "closed": "the server has closed the connection",
        "too large": "message too big",
    }

    async def receive(connection: ServerConnection, request: Request) -> Response | None:
        handshakes.append(request.path)
        if trouble == "busy" and len(handshakes) == 1:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        return None

    async def push(connection: ServerConnection) -> None:
        await connection.recv()
        if len(handshakes) > 1:
            await connection.send(pushed(products=[row()]))
            await connection.wait_closed()
        elif trouble == "bad frame":
            await connection.send('{"time": \x1b}')
            await connection.wait_closed()
        elif trouble == "too large":
            await connection.send(" " * (2**24 + 1))
            await connection.wait_closed()

    async def go() -> None:
        async with serve(push, "127.0.0.1", 0, process_request=receive, compression=None) as server:
            seen: set[str] = set()

            def is_back(model: Model) -> bool:
                seen.add(model.lost)
                return bool(model.rows)

            await follow(url_of(server), is_back)
            assert any(reasons[trouble] in reason for reason in seen), seen
            assert all(reason.isprintable() for reason in seen)

    asyncio.run(go())
