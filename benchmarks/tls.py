"""A proxy that answers as api.stripe.com and asks the sandbox, as a process of its own: `python -m benchmarks.tls`.

For programs that can be told a proxy and a certificate, and no other address of Stripe's.
"""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
from pathlib import Path

HOST = "api.stripe.com"
CHUNK = 1 << 16


def certificate(folder: Path) -> Path:
    """Makes a certificate for Stripe's name, good for a day, with its key in the same file."""
    if shutil.which("openssl") is None:
        raise RuntimeError("`openssl` makes the certificate, and is not here")
    file = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={HOST}",
         "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(folder / "key.pem"), "-out", str(file)],
        check=True, capture_output=True,
    )
    file.write_text(file.read_text() + (folder / "key.pem").read_text())
    return file


async def serve(target: int, file: Path) -> None:
    """Takes connections until it is ended."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)

    async def decrypted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _relay(reader, writer, target)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(f"CONNECT {HOST}:443 ".encode()):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _relay(reader, writer, _port(inner))
            else:  # nothing leaves this machine
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                writer.close()

    inner = await asyncio.start_server(decrypted, "127.0.0.1", 0, ssl=context)
    outer = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(json.dumps({"port": _port(outer)}), flush=True)
    await outer.serve_forever()


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pour(reader, back), _pour(there, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


def main() -> None:
    """Prints its port, and serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=int, required=True, help="port of the sandbox")
    parser.add_argument("--certificate", type=Path, required=True, help="file with certificate and key")
    args = parser.parse_args()
    asyncio.run(serve(args.target, args.certificate))


if __name__ == "__main__":
    main()
