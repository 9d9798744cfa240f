"""The application of the tests, as WSGI and as ASGI: a path says what is answered.

SERVED is the file of its own counts: a line for each answer, written before the answer begins, so a killed process loses none.
"""

import asyncio
import os
import time

SERVED = os.open(os.environ["SERVED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
HELD = os.environ["HELD"]
FILE = os.environ["FILE"]
HEAD = b"HTTP/1.1 500 Oops\r\nServer: x\r\n\r\n"
BODILESS = (204, 304)
# CLOCK_MONOTONIC_COARSE of Linux, which Python does not name: the kernel sets it at each tick, with the ticks of queue times.
TICKS = 6


def note(method, status):
    os.write(SERVED, f"{method} {status}\n".encode())


def note_times(query, begun):
    """The times of a request that has a number for its query."""
    if query:
        os.write(SERVED, f"at {query} {os.getpid()} {begun} {time.clock_gettime_ns(TICKS)}\n".encode())


def answer(method, path, received):
    """Status and parts of the body; None for one that must be waited for."""
    what, _, argument = path.strip("/").partition("/")
    if what == "status":
        status = int(argument)
        return status, [] if status in BODILESS else [b"ok"]
    if what == "slow":
        return 200, [b"slow"]
    if what in ("large", "file"):
        return 200, [b"x" * 16384] * 64
    if what == "heads":
        return 200, [HEAD] * 20
    if what == "echo":
        return 200, [str(received).encode()]
    if what == "hold":
        return 200, [b"held"]
    if what == "raise":
        note(method, 500)
        raise RuntimeError("as asked")
    return 404, [b"no"]


def pause(path):
    """Seconds to sleep before the answer."""
    what, _, argument = path.strip("/").partition("/")
    return int(argument) / 1000 if what == "slow" else 0


def holds(path):
    return path == "/hold" and os.path.exists(HELD)


def wsgi(environ, start_response):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    begun, received = time.clock_gettime_ns(TICKS), 0
    while part := environ["wsgi.input"].read(65536):
        received += len(part)
    if holds(path):
        note("hold", os.getpid())
    while holds(path):
        time.sleep(0.002)
    time.sleep(pause(path))
    note_times(environ["QUERY_STRING"], begun)
    if path == "/file":
        note(method, 200)
        start_response("200 OK", [("Content-Length", str(os.path.getsize(FILE)))])
        return environ["wsgi.file_wrapper"](open(FILE, "rb"))
    status, parts = answer(method, path, received)
    note(method, status)
    fields = [("Content-Length", str(sum(map(len, parts))))]
    start_response(f"{status} Reason", [] if status in BODILESS else fields)
    return [] if method == "HEAD" else iter(parts)


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("only HTTP")
    method, path = scope["method"], scope["path"]
    begun, received, more = time.clock_gettime_ns(TICKS), 0, True
    while more:
        event = await receive()
        received += len(event.get("body", b""))
        more = event.get("more_body", False)
    if holds(path):
        note("hold", os.getpid())
    while holds(path):
        await asyncio.sleep(0.002)
    await asyncio.sleep(pause(path))
    note_times(scope["query_string"].decode(), begun)
    status, parts = answer(method, path, received)
    note(method, status)
    length = str(sum(map(len, parts))).encode()
    fields = [] if status in BODILESS else [(b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    if method != "HEAD":
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
