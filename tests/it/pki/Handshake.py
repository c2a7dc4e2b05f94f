"""A handshake in memory: the certificate as server's and as client's, or as client's another one, the
name checked."""

import ssl
import sys

certificate, key, authority, name, *client_pair = sys.argv[1:]

server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
server.load_verify_locations(authority)
server.verify_mode = ssl.CERT_REQUIRED

client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.load_verify_locations(authority)
client.load_cert_chain(*(client_pair or (certificate, key)))
assert client.check_hostname
for context in (server, client):
    # From Python 3.13 on this is the default: it wants key identifiers, among others.
    context.verify_flags |= ssl.VERIFY_X509_STRICT

to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
ends = [
    client.wrap_bio(to_client, to_server, server_hostname=name),
    server.wrap_bio(to_server, to_client, server_side=True),
]
for _ in range(10):
    for end in list(ends):
        try:
            end.do_handshake()
            ends.remove(end)
        except ssl.SSLWantReadError:
            pass
assert not ends, "no end of the handshake"
print("verified both ways")
