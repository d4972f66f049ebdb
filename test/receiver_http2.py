"""HTTP/2 for receiver.py: one connection, many requests at once, and what can go wrong with either.

Needs the package h2 (Debian: python3-h2).  The ledger has the number of the stream as "stream" and one line of
headers per field, pseudo-headers left out.  Of the behaviours that receiver.py describes, these work over HTTP/2:
status, body, size, location, retry_after, headers, delay, fail, hang, endless and hold.  Beside these:

    goaway=WHEN           take leave of the client (GOAWAY):
                            unseen      the request is not among those that will be answered
                            unseen_close  the same, and close
                            seen        it is, but close without an answer
                            answered    it is; answer, then close
                            after       answer first, and do not close, but ignore what comes later
    rst=CODE              break off the request (RST_STREAM) with this error code: 2 internal error, 7 refused, ...
    rst_body=CODE         the same inside of the body of the answer
    cut=WHERE             close the connection: before (nothing is sent), body (inside of it)
"""

import asyncio

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

KEYS = {"goaway": str, "rst": int, "rst_body": int, "cut": str}


class Exchange:
    """A request and the answer to it."""

    def __init__(self, headers):
        pseudo = {name: value for name, value in headers if name.startswith(":")}
        self.head = ["%s %s HTTP/2" % (pseudo[":method"], pseudo[":path"])]
        self.head += ["%s: %s" % field for field in headers if not field[0].startswith(":")]
        self.body = bytearray()
        self.task = None
        self.window = asyncio.Event()


class Http2Connection(asyncio.Protocol):

    def __init__(self, number, ledger, rules, make_request, make_body, max_streams):
        self.number = number
        self.ledger = ledger
        self.rules = rules
        self.make_request = make_request
        self.make_body = make_body
        self.exchanges = {}
        self.deaf = False
        self.last_stream = None     # to be answered, when that has been said
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.max_streams = max_streams

    # What asyncio calls

    def connection_made(self, transport):
        self.transport = transport
        self.h2.initiate_connection()
        if self.max_streams:
            self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.max_streams})
        self.flush()

    def connection_lost(self, error):
        for exchange in self.exchanges.values():
            if exchange.task:
                exchange.task.cancel()

    def data_received(self, data):
        if self.deaf:
            return
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.transport.close()
            return
        for event in events:
            self.handle(event)
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def handle(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.exchanges[stream] = Exchange(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.exchanges[stream].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            exchange = self.exchanges[stream]
            exchange.task = asyncio.ensure_future(self.serve(stream, exchange))
            exchange.task.add_done_callback(lambda task: task.cancelled() or task.result())
        elif isinstance(event, h2.events.StreamReset):
            exchange = self.exchanges.pop(stream, None)
            if exchange and exchange.task:
                exchange.task.cancel()
        elif isinstance(event, h2.events.WindowUpdated):
            for number, exchange in self.exchanges.items():
                if stream in (0, number):
                    exchange.window.set()

    # Answers

    async def serve(self, stream, exchange):
        request = self.make_request("\r\n".join(exchange.head).encode("utf-8"))
        request.body = bytes(exchange.body)
        request.stream = stream
        self.ledger.add(request, self.number)
        behaviour = self.rules.find(request)
        while behaviour.get("hold"):
            await self.rules.changed.wait()
            behaviour = self.rules.find(request)
        if "delay" in behaviour:
            await asyncio.sleep(behaviour["delay"] / 1000)
        await self.answer(stream, behaviour)
        self.exchanges.pop(stream, None)

    async def answer(self, stream, behaviour):
        if self.last_stream is not None and stream > self.last_stream:
            return
        goaway = behaviour.get("goaway")
        if "rst" in behaviour:
            self.h2.reset_stream(stream, behaviour["rst"])
            self.flush()
            return
        if goaway in ("unseen", "unseen_close", "seen"):
            self.say_goodbye(stream if goaway == "seen" else stream - 2)
        if goaway == "unseen":
            self.deaf = True
            return
        if goaway in ("unseen_close", "seen") or behaviour.get("cut") == "before":
            self.transport.close()
            return
        if behaviour.get("hang") == "before":
            await self.for_ever()
        if goaway == "answered":
            self.say_goodbye(stream)

        body = self.make_body(behaviour)
        self.h2.send_headers(stream, self.head(behaviour, body))
        self.flush()
        if behaviour.get("hang") == "headers":
            await self.for_ever()
        if not await self.spoil_body(stream, behaviour):
            await self.send(stream, body, end=True)
        if goaway == "after":
            self.say_goodbye(stream)
            self.deaf = True
        if goaway == "answered":
            self.transport.close()

    async def spoil_body(self, stream, behaviour):
        """What can go wrong inside of the body; false if nothing shall."""
        if behaviour.get("endless"):
            while not self.transport.is_closing():
                await self.send(stream, b"x" * 16384)
        if "rst_body" not in behaviour and "cut" not in behaviour and behaviour.get("hang") != "body":
            return False
        await self.send(stream, b"x")
        if behaviour.get("hang") == "body":
            await self.for_ever()
        if "rst_body" in behaviour:
            self.h2.reset_stream(stream, behaviour["rst_body"])
            self.flush()
        else:
            self.transport.close()
        return True

    def head(self, behaviour, body):
        head = [(":status", str(behaviour.get("status", 200))), ("content-type", "text/plain")]
        if not behaviour.get("endless"):
            head.append(("content-length", str(max(len(body), 1))) if body else ("content-length", "0"))
        for name in ("location", "retry_after"):
            if name in behaviour:
                head.append((name.replace("_", "-"), str(behaviour[name])))
        left = behaviour.get("headers", 0)
        while left > 0:
            head.append(("x-filler", "x" * min(left, 1000)))
            left -= 1000
        return head

    async def send(self, stream, data, end=False):
        """As fast as the client lets us."""
        at = 0
        while True:
            exchange = self.exchanges.get(stream)
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data) - at)
            if room == 0 and at < len(data):
                exchange.window.clear()
                await exchange.window.wait()
                continue
            self.h2.send_data(stream, data[at:at + room], end_stream=end and at + room == len(data))
            self.flush()
            at += room
            if at == len(data):
                await asyncio.sleep(0)
                return

    def say_goodbye(self, last_stream):
        self.last_stream = max(last_stream, 0)
        # h2 itself would send nothing any more after that.
        self.transport.write(GoAwayFrame(0, last_stream_id=self.last_stream, error_code=0).serialize())

    async def for_ever(self):
        await asyncio.get_running_loop().create_future()
