#!/usr/bin/env python3
"""TLS in front of a plain port, as a proxy that is reached by TLS has it.

    tls_relay.py certificate key port-of-the-proxy file-for-the-port

It ends when standard input is closed.
"""

import asyncio
import ssl
import sys


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(certificate, key, target, port_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def relay(reader, writer):
        try:
            upstream = await asyncio.open_connection("127.0.0.1", int(target))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    with open(port_file, "w", encoding="ascii") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    server.close()


asyncio.run(main(*sys.argv[1:]))
