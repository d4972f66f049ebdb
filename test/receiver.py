#!/usr/bin/env python3
"""A webhook receiver for tests and demonstrations.

Accepts HTTP/1.1 with kept-alive connections, writes every request to a ledger and misbehaves on request.
Python's standard library is all it needs, but for --http2.

    receiver.py --ledger FILE [--port N] [--port-file FILE] [--host ADDRESS]... [--tls CERT KEY [--client-ca CA]]
                [--http2 [--max-streams N]] [--control-port-file FILE] [--until-eof]

Port 0, the default, takes any free port; the port is printed and, once connections are accepted, written to the
port file.  With --until-eof the receiver ends when its standard input does, so that it cannot outlive a test
that was killed.  --tls serves https; --client-ca then demands a client certificate signed by that authority.
--http2 speaks HTTP/2 with clients that want it, over TLS; see receiver_http2.py for how it can fail.  With a control
port file there is another port, of which the file tells, where requests come without TLS.

THE LEDGER has one line of JSON per request, written before the answer is sent:

    {"n": 1, "time": 1760000000.123456, "connection": 1, "method": "POST", "path": "/a", "query": "x=1",
     "headers": {"content-type": "application/json", ...}, "header_lines": ["Content-Type: application/json", ...],
     "body": "..."}

"time" is when the request was complete; "connection" numbers the connections in the order they were accepted;
"headers" has lower-case names, repeated ones joined with ", ".  A body that is not UTF-8 is in "body_base64" and
"body" is null; in the other fields bytes that are not UTF-8 look like \\x80.

BEHAVIOUR can be asked for in the query string of the webhook's URL or be set for a path at run time; the latter
wins.  Without any, the answer is 200 "ok".  What cannot be read as described is ignored.

    status=NNN            answer with this status (also: the path /status/NNN)
    body=TEXT             answer with this body, even where there should be none (status=204)
    size=N                answer with a body of N bytes
    location=URL          send a Location header
    retry_after=VALUE     send a Retry-After header
    allowed_origin=VALUE  send it as WebHook-Allowed-Origin in answers to OPTIONS ("same": the origin that was asked for)
    allowed_rate=VALUE    ... and as WebHook-Allowed-Rate
    challenge=HOW         answer a challenge by its nonce (nonce), by JSON with it (json), or by another text
    token=N               answer like a token server of OAuth 2: "token1", "token2", ..., which last N seconds
    rotate=1              ... with a new refresh token each time ("refresh1", ...), after which only that one is accepted
    headers=N             send N bytes of further headers
    informational=N       send N interim answers (103) first
    delay=MS              wait before answering
    fail=N                answer the first N requests of each message with 500 (or the given status), the next ones
                          with 200; a message is known by its webhook-id header, else by its body
    refuse=TEXT           answer a request whose body contains the text with 422 (or the given status), others with 200
    max_body=N            answer a request whose body is longer than N bytes with 413, others with 200
    hang=WHERE            stop for good: before (nothing is sent), headers (inside of them), body (inside of it)
    drip=MS               send the answer byte by byte, one every MS milliseconds
    endless=1             a body that never ends
    gzip_bomb=N           a small gzip body that unpacks to N megabytes
    broken=HOW            no valid HTTP: status, header, length, chunk (a chunk size that is no number), short (fewer
                          bytes than announced, then close), line (a header line of a megabyte), trailer (the same)
    reset=1               reset the connection instead of answering
    close=1               answer and close the connection without having said so
    drop_next=1           answer; when the next request arrives on this connection, close it without an answer
    stray=TEXT            answer; 20 ms later send TEXT as well, which nobody has asked for, and with close=1 close the
                          connection then.  Each counts as a request for the path /_stray that is not in the ledger.
    excess=TEXT           the same, but at once, as if it belonged to the answer
    hold=1                (run time only) do not answer until the behaviour of the path is changed, then obey the new one

CONTROL, on the same port, is not in the ledger:

    GET /_ledger[?from=N]                            the ledger, without its first N requests
    GET /_count[?path=P]                             how many requests it holds
    GET /_wait?count=N[&path=P][&timeout=MS]         the same, as soon as there are N of them; 408 after the timeout (30 s)
    POST /_behave {"path": P, "status": 503, ...}    behaviour of a path from now on ("*": of all); none given: back to
                                                     normal.  "times": N limits it to the next N requests.
    POST /_reset                                     empty the ledger, all back to normal
"""

import argparse
import asyncio
import base64
import collections
import json
import os
import signal
import socket
import ssl
import struct
import sys
import time
import urllib.parse
import zlib

REASONS = {200: "OK", 201: "Created", 204: "No Content", 301: "Moved Permanently", 302: "Found", 400: "Bad Request",
           404: "Not Found", 408: "Request Timeout", 410: "Gone", 429: "Too Many Requests",
           500: "Internal Server Error", 503: "Service Unavailable"}

# Behaviours that can be given in a query string, and the types of their values.
KEYS = {"status": int, "body": str, "size": int, "location": str, "retry_after": str,
        "allowed_origin": str, "allowed_rate": str, "challenge": str, "token": int, "rotate": int, "headers": int,
        "informational": int, "delay": int, "fail": int, "refuse": str, "max_body": int, "hang": str, "drip": int, "endless": int, "gzip_bomb": int,
        "broken": str, "reset": int, "close": int, "drop_next": int,
        "stray": str, "excess": str}

PLAIN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
WAIT_MS = 30000
STRAY_SECONDS = 0.02


class Request:
    __slots__ = ("method", "path", "query", "header_lines", "headers", "body", "stream")

    def __init__(self, head):
        lines = head.decode("utf-8", "backslashreplace").split("\r\n")
        self.method, target = lines[0].split(" ")[:2]
        self.path, _, self.query = target.partition("?")
        self.header_lines = lines[1:]
        self.headers = {}
        for line in self.header_lines:
            name, _, value = line.partition(":")
            name = name.lower()
            value = value.strip()
            if name in self.headers:
                value = self.headers[name] + ", " + value
            self.headers[name] = value
        self.body = b""
        self.stream = None          # the number of it, with HTTP/2

    def parameters(self):
        return dict(reversed(urllib.parse.parse_qsl(self.query, keep_blank_values=True)))


class Ledger:
    """The requests seen, in a file, and those who wait for more of them."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)
        self.path = path
        self.count = 0
        self.count_by_path = collections.Counter()
        self.waiting = []

    def add_stray(self):
        self.count_by_path["/_stray"] += 1
        if self.waiting:
            self.wake()

    def add(self, request, connection):
        self.count += 1
        self.count_by_path[request.path] += 1
        entry = {"n": self.count, "time": round(time.time(), 6), "connection": connection,
                 "method": request.method, "path": request.path, "query": request.query,
                 "headers": request.headers, "header_lines": request.header_lines}
        if request.stream is not None:
            entry["stream"] = request.stream
        try:
            entry["body"] = request.body.decode()
        except UnicodeDecodeError:
            entry["body"] = None
            entry["body_base64"] = base64.b64encode(request.body).decode()
        os.write(self.fd, json.dumps(entry).encode() + b"\n")
        if self.waiting:
            self.wake()

    def seen(self, path):
        return self.count_by_path[path] if path else self.count

    def wake(self):
        for path, count, future in self.waiting:
            if self.seen(path) >= count and not future.done():
                future.set_result(True)

    async def wait(self, path, count, seconds):
        """True as soon as there are count requests, False after the time given."""
        future = asyncio.get_running_loop().create_future()
        entry = (path, count, future)
        self.waiting.append(entry)
        self.wake()
        try:
            return await asyncio.wait_for(future, seconds)
        except asyncio.TimeoutError:
            return False
        finally:
            self.waiting.remove(entry)

    def text(self, skip):
        with open(self.path, "rb") as file:
            return b"".join(file.readlines()[skip:])

    def reset(self):
        os.ftruncate(self.fd, 0)
        self.count = 0
        self.count_by_path.clear()


class Rules:
    """Behaviour set at run time, and the memory that some behaviours need."""

    def __init__(self):
        self.by_path = {}
        self.attempts = collections.Counter()
        self.tokens = collections.Counter()
        self.changed = asyncio.Event()

    def set(self, rule):
        path = rule.pop("path")
        if rule:
            self.by_path[path] = rule
        else:
            self.by_path.pop(path, None)
        self.announce()

    def reset(self):
        self.by_path.clear()
        self.attempts.clear()
        self.tokens.clear()
        self.announce()

    def announce(self):
        """Let go of the requests held until now."""
        self.changed.set()
        self.changed = asyncio.Event()

    def at_run_time(self, path):
        for key in (path, "*"):
            rule = self.by_path.get(key)
            if rule is None:
                continue
            if "times" in rule:
                rule["times"] -= 1
                if rule["times"] <= 0:
                    del self.by_path[key]
            return rule
        return None

    def find(self, request):
        """The behaviour for a request; empty when there is nothing special about it."""
        behaviour = {}
        if request.path.startswith("/status/"):
            behaviour = read_behaviour({"status": request.path[len("/status/"):]})
        if request.query:
            behaviour.update(read_behaviour(request.parameters()))
        behaviour.update(self.at_run_time(request.path) or {})
        if "fail" in behaviour:
            self.apply_fail(request, behaviour)
        if "token" in behaviour:
            self.apply_token(request, behaviour)
        if "refuse" in behaviour:
            self.apply_to(behaviour["refuse"].encode() in request.body, behaviour, 422)
        if "max_body" in behaviour:
            self.apply_to(len(request.body) > behaviour["max_body"], behaviour, 413)
        return behaviour

    @staticmethod
    def apply_to(applies, behaviour, status):
        if applies:
            behaviour.setdefault("status", status)
        else:
            behaviour.clear()

    def apply_token(self, request, behaviour):
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        number = self.tokens[request.path]
        if behaviour.get("rotate") and number > 0 and form.get("refresh_token") != "refresh%d" % number:
            behaviour.update(status=400, body='{"error": "invalid_grant"}')
            return
        self.tokens[request.path] += 1
        answer = {"access_token": "token%d" % (number + 1), "token_type": "Bearer", "expires_in": behaviour["token"]}
        if behaviour.get("rotate"):
            answer["refresh_token"] = "refresh%d" % (number + 1)
        behaviour["body"] = json.dumps(answer)

    def apply_fail(self, request, behaviour):
        message = (request.path, request.headers.get("webhook-id") or request.body)
        self.attempts[message] += 1
        if self.attempts[message] <= behaviour["fail"]:
            behaviour.setdefault("status", 500)
        else:
            behaviour.clear()


def read_behaviour(parameters):
    behaviour = {}
    for name, value in parameters.items():
        if name in KEYS:
            try:
                behaviour[name] = KEYS[name](value)
            except ValueError:
                pass
    return behaviour


def answer_head(behaviour, length, extra=()):
    status = behaviour.get("status", 200)
    lines = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, "Status")), "Content-Type: text/plain"]
    if length is not None:
        lines.append("Content-Length: %d" % length)
    if "location" in behaviour:
        lines.append("Location: " + behaviour["location"])
    if "retry_after" in behaviour:
        lines.append("Retry-After: %s" % behaviour["retry_after"])
    left = behaviour.get("headers", 0)
    while left > 0:
        lines.append("X-Filler: " + "x" * min(left, 1000))
        left -= 1000
    lines.extend(extra)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def answer_body(behaviour):
    if "body" in behaviour:
        return behaviour["body"].encode("utf-8")
    if "size" in behaviour:
        return b"x" * behaviour["size"]
    if behaviour.get("status") in (204, 304):
        return b""
    return b"ok"


def allowed(request, behaviour):
    """Header lines of the handshake."""
    lines = []
    if "allowed_origin" in behaviour:
        origin = behaviour["allowed_origin"]
        lines.append("WebHook-Allowed-Origin: "
                     + (request.headers.get("webhook-request-origin", "") if origin == "same" else origin))
    if "allowed_rate" in behaviour:
        lines.append("WebHook-Allowed-Rate: %s" % behaviour["allowed_rate"])
    return lines


def challenge_answer(request, behaviour):
    """The body of the answer to a challenge, None if it is no challenge or there is nothing special about the answer."""
    if "challenge" not in behaviour or b'"webhook.challenge"' not in request.body:
        return None
    nonce = json.loads(request.body)["challenge"]
    return {"nonce": nonce, "json": json.dumps({"challenge": nonce})}.get(behaviour["challenge"], behaviour["challenge"]).encode()


class Connection(asyncio.Protocol):
    """One connection: cuts requests out of the stream and answers them one after the other."""

    accepted = 0

    def __init__(self, ledger, rules, make_http2):
        self.ledger = ledger
        self.rules = rules
        self.make_http2 = make_http2
        self.data = bytearray()
        self.request = None         # whose body is still to come
        self.task = None            # the answer under way, if it takes time
        self.drop_next = False
        self.writable = asyncio.Event()
        self.writable.set()
        Connection.accepted += 1
        self.number = Connection.accepted

    # What asyncio calls

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            http2 = self.make_http2(self.number)
            transport.set_protocol(http2)
            http2.connection_made(transport)

    def connection_lost(self, error):
        self.writable.set()
        if self.task:
            self.task.cancel()

    def data_received(self, data):
        if self.drop_next:
            self.transport.abort()
            return
        self.data += data
        if not self.task:
            self.serve()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    # Requests

    def serve(self):
        """Answer what is complete, until there is nothing more or an answer takes time."""
        while not self.task and not self.transport.is_closing():
            try:
                request = self.next_request()
            except (ValueError, IndexError):
                self.transport.write(answer_head({"status": 400}, 0))
                self.transport.close()
                return
            if request is None:
                return
            self.handle(request)

    def next_request(self):
        if self.request is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return None
            self.request = Request(bytes(self.data[:end]))
            del self.data[:end + 4]
            if self.request.headers.get("expect", "").lower() == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.next_body(self.request.headers)
        if body is None:
            return None
        request, self.request = self.request, None
        request.body = body
        return request

    def next_body(self, headers):
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self.next_chunked_body()
        length = int(headers.get("content-length", 0))
        if len(self.data) < length:
            return None
        body = bytes(self.data[:length])
        del self.data[:length]
        return body

    def next_chunked_body(self):
        body = b""
        at = 0
        while True:
            end = self.data.find(b"\r\n", at)
            if end < 0:
                return None
            size = int(self.data[at:end].split(b";")[0], 16)
            at = end + 2
            if len(self.data) < at + size + 2:
                return None
            body += self.data[at:at + size]
            at += size + 2
            if size == 0:
                del self.data[:at]
                return body

    def handle(self, request):
        if request.path.startswith("/_"):
            self.start(self.control(request))
            return
        self.ledger.add(request, self.number)
        behaviour = self.rules.find(request) if request.query or self.rules.by_path or request.path[:8] == "/status/" \
            else None
        if behaviour:
            self.start(self.answer(request, behaviour))
        else:
            self.transport.write(PLAIN_ANSWER)

    def start(self, coroutine):
        self.task = asyncio.ensure_future(coroutine)
        self.task.add_done_callback(self.finished)

    def finished(self, task):
        self.task = None
        if not task.cancelled():
            task.result()
            self.serve()

    # Answers

    async def answer(self, request, behaviour):
        while behaviour.get("hold"):
            await self.rules.changed.wait()
            behaviour = self.rules.find(request)
        if "delay" in behaviour:
            await asyncio.sleep(behaviour["delay"] / 1000)
        for _ in range(behaviour.get("informational", 0)):
            self.transport.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")

        for name, fault in (("reset", self.reset), ("hang", self.hang), ("broken", self.broken),
                            ("endless", self.endless), ("gzip_bomb", self.gzip_bomb)):
            if behaviour.get(name):
                await fault(behaviour)
                return

        body = challenge_answer(request, behaviour) or answer_body(behaviour)
        extra = allowed(request, behaviour) if request.method == "OPTIONS" else ()
        excess = behaviour.get("excess", "").encode()
        await self.send(answer_head(behaviour, len(body), extra) + body + excess, behaviour.get("drip"))
        if "stray" in behaviour:
            asyncio.get_running_loop().call_later(STRAY_SECONDS, self.send_stray, behaviour)
        elif behaviour.get("close"):
            self.transport.close()
        self.drop_next = bool(behaviour.get("drop_next"))

    async def send(self, data, drip=None):
        if not drip:
            self.transport.write(data)
            await self.writable.wait()
            return
        for at in range(len(data)):
            self.transport.write(data[at:at + 1])
            await asyncio.sleep(drip / 1000)

    def send_stray(self, behaviour):
        self.transport.write(behaviour["stray"].encode())
        if behaviour.get("close"):
            self.transport.close()
        self.ledger.add_stray()

    async def reset(self, behaviour):
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def hang(self, behaviour):
        head = answer_head(behaviour, 1000)
        if behaviour["hang"] == "headers":
            self.transport.write(head[:len(head) // 2])
        elif behaviour["hang"] == "body":
            self.transport.write(head + b"x" * 10)
        await asyncio.get_running_loop().create_future()    # until the connection is gone

    async def broken(self, behaviour):
        how = behaviour["broken"]
        if how == "status":
            self.transport.write(b"NONSENSE/9 hello\r\n\r\n")
        elif how == "header":
            self.transport.write(b"HTTP/1.1 200 OK\r\nno colon \x00 here\r\n: no name\r\nContent-Length: 2\r\n\r\nok")
        elif how == "length":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nok")
        elif how == "chunk":
            self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n")
        elif how == "line":
            self.transport.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000000 + b"\r\nContent-Length: 0\r\n\r\n")
        elif how == "trailer":
            self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 1000000)
        elif how == "short":
            self.transport.write(answer_head(behaviour, 1000) + b"x" * 10)
        self.transport.close()

    async def endless(self, behaviour):
        self.transport.write(answer_head(behaviour, None, ["Transfer-Encoding: chunked"]))
        while not self.transport.is_closing():
            await self.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await asyncio.sleep(0)

    async def gzip_bomb(self, behaviour):
        gzip = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        zeros = bytes(1 << 20)
        body = b"".join(gzip.compress(zeros) for _ in range(behaviour["gzip_bomb"])) + gzip.flush()
        await self.send(answer_head(behaviour, len(body), ["Content-Encoding: gzip"]) + body)

    # Control

    async def control(self, request):
        try:
            status, body = await self.command(request)
        except (ValueError, KeyError, AttributeError) as error:
            status, body = 400, repr(error)
        if isinstance(body, str):
            body = body.encode()
        await self.send(answer_head({"status": status}, len(body)) + body)

    async def command(self, request):
        what = (request.method, request.path)
        parameters = request.parameters()
        path = parameters.get("path")
        if what == ("GET", "/_ledger"):
            return 200, self.ledger.text(int(parameters.get("from", 0)))
        if what == ("GET", "/_count"):
            return 200, "%d\n" % self.ledger.seen(path)
        if what == ("GET", "/_wait"):
            done = await self.ledger.wait(path, int(parameters["count"]), int(parameters.get("timeout", WAIT_MS)) / 1000)
            return 200 if done else 408, "%d\n" % self.ledger.seen(path)
        if what == ("POST", "/_behave"):
            self.rules.set(json.loads(request.body))
            return 200, "ok\n"
        if what == ("POST", "/_reset"):
            self.rules.reset()
            self.ledger.reset()
            return 200, "ok\n"
        return 404, "no such command\n"


def tls_context(arguments):
    if not arguments.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*arguments.tls)
    context.set_alpn_protocols(["h2", "http/1.1"] if arguments.http2 else ["http/1.1"])
    if arguments.client_ca:
        context.load_verify_locations(arguments.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def http2_maker(arguments, ledger, rules):
    """What makes a connection that speaks HTTP/2, or None."""
    if not arguments.http2:
        return None
    import receiver_http2
    KEYS.update(receiver_http2.KEYS)
    return lambda number: receiver_http2.Http2Connection(number, ledger, rules, Request, answer_body,
                                                         arguments.max_streams)


def announce_port(port, path):
    if path:
        with open(path + ".new", "w") as file:
            file.write("%d\n" % port)
        os.rename(path + ".new", path)


def end_with_stdin(loop, done):
    def readable():
        if not os.read(0, 65536):
            done.set()
    loop.add_reader(0, readable)


async def run(arguments):
    loop = asyncio.get_running_loop()
    # Clients that disappear and handshakes that fail are expected here.
    loop.set_exception_handler(lambda loop, context: None if isinstance(context.get("exception"), OSError)
                               else loop.default_exception_handler(context))
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    if arguments.until_eof:
        end_with_stdin(loop, done)

    ledger = Ledger(arguments.ledger)
    rules = Rules()
    make_http2 = http2_maker(arguments, ledger, rules)

    async def listen(host, port, context):
        server = await loop.create_server(lambda: Connection(ledger, rules, make_http2), host, port, backlog=1024,
                                          ssl=context)
        return server.sockets[0].getsockname()[1]

    if arguments.control_port_file:
        announce_port(await listen("127.0.0.1", 0, None), arguments.control_port_file)
    port = arguments.port
    for host in arguments.host or ["127.0.0.1"]:
        port = await listen(host, port, tls_context(arguments))
    print(port, flush=True)
    announce_port(port, arguments.port_file)
    await done.wait()


def main():
    parser = argparse.ArgumentParser(description="A webhook receiver for tests; see the top of this file.")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file")
    parser.add_argument("--host", action="append")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--client-ca")
    parser.add_argument("--http2", action="store_true")
    parser.add_argument("--max-streams", type=int)
    parser.add_argument("--control-port-file")
    parser.add_argument("--until-eof", action="store_true")
    asyncio.run(run(parser.parse_args()))
    os._exit(0)                     # connections that hang on purpose are not waited for


if __name__ == "__main__":
    sys.exit(main())
