"""grpc_client.py NAME PORT CA: one unary call with stdin as the request; prints the response."""

import sys

import grpc

name, port, authority = sys.argv[1:]
with open(authority, "rb") as file:
    credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
options = [
    # The server name of the handshake, and the name that the certificate has to carry.
    ("grpc.ssl_target_name_override", name),
    ("grpc.default_authority", name),
    ("grpc.enable_http_proxy", 0),
]
with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
    echo = channel.unary_unary("/test.Echo/Echo")
    sys.stdout.buffer.write(echo(sys.stdin.buffer.read(), timeout=30))
