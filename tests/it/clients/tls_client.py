"""tls_client.py NAME PORT CA: sends stdin to 127.0.0.1:PORT through TLS, prints what comes back."""

import socket
import ssl
import sys

PIECE = 65536

name, port, authority = sys.argv[1:]
payload = sys.stdin.buffer.read()

context = ssl.create_default_context(cafile=authority)
with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as plain:
    with context.wrap_socket(plain, server_hostname=name) as tls:
        # Piece by piece: the buffers on the way hold one, and an SSL object is not to be read and
        # written by two threads at once (Python guards it only from 3.13 on).
        for start in range(0, len(payload), PIECE):
            piece = payload[start : start + PIECE]
            tls.sendall(piece)
            left = len(piece)
            while left > 0:
                part = tls.recv(left)
                if not part:
                    sys.exit(f"the stream ended in the piece at {start}, {left} bytes early")
                sys.stdout.buffer.write(part)
                left -= len(part)
        tls.unwrap()
