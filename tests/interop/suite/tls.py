"""TLS by hand, against whatever stands in the middle."""

import contextlib
import socket
import ssl
import statistics
import subprocess
import threading
import time

from .sandbox import HUB_ADDRESS


@contextlib.contextmanager
def connect(port, name, authority, address=HUB_ADDRESS):
    """A TLS connection to `name`, whose certificate is checked, by way of `address`."""
    with socket.create_connection((address, port), timeout=10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trust = ssl.create_default_context(cafile=authority)
        with trust.wrap_socket(plain, server_hostname=name) as tls:
            yield tls


def handshakes(port, name, authority, address=HUB_ADDRESS, times=20):
    """Median of connect and handshake in milliseconds, and the addresses it was tried from, by
    which the hub's records of these are told from those of the parties."""
    took, sources = [], set()
    for _ in range(times):
        began = time.perf_counter()
        with connect(port, name, authority, address) as tls:
            took.append(1e3 * (time.perf_counter() - began))
            sources.add("{}:{}".format(*tls.getsockname()))
    return statistics.median(took), sources


def greet(port, name, apart=None, patience=8, address=HUB_ADDRESS):
    """What a client meets that says hello to `name`, in words. The hello is of two segments when
    `apart` is given: the second comes so many seconds after the first."""
    trust = ssl._create_unverified_context()
    if apart is not None:
        # As long as today's hellos with a post-quantum key share. One that a proxy may like is among
        # them: the rest is only there to fill.
        trust.set_alpn_protocols(["http/1.1", *(f"protocol-{number:02}" for number in range(100))])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trust.wrap_bio(incoming, outgoing, server_hostname=name)
    with socket.create_connection((address, port), timeout=patience) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen = b""
        while True:
            try:
                tls.do_handshake()
                plain.sendall(outgoing.read())
                return f"handshake, certificate of {subject(tls)}"
            except ssl.SSLWantReadError:
                hello = outgoing.read()
            except ssl.SSLError as error:
                return refusal(seen, error)
            for segment in [hello] if apart is None or seen else [hello[:1448], hello[1448:]]:
                plain.sendall(segment)
                time.sleep(apart or 0)
            try:
                seen = plain.recv(65536)
            except TimeoutError:
                return f"nothing for {patience} s"
            except ConnectionResetError:
                return "reset"
            if not seen:
                return "closed without a byte"
            incoming.write(seen)


def refusal(seen, error):
    """What a peer says that shakes no hands: an alert with its number (RFC 8446, 6), or no TLS."""
    if seen[:1] != b"\x15":
        return f"no TLS but {seen[:15]!r}"
    # OpenSSL has no words for every number.
    words = (error.reason or "unknown").removeprefix("TLSV1_").removeprefix("ALERT_")
    return f"alert {seen[6]}, {words.lower().replace('_', ' ')}"


def subject(tls):
    """The first name in the peer's certificate."""
    text = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253"],
        input=tls.getpeercert(binary_form=True), capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    return text.strip().removeprefix("subject=").removeprefix("CN=")


class Echo:
    """A party that answers with what it is sent, over TLS."""

    def __init__(self, name, address, authority):
        trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trust.load_cert_chain(*authority.issue("pulsar", name))
        self.listener = socket.create_server((address, 6651))
        threading.Thread(target=self.serve, args=(trust,), daemon=True).start()

    def serve(self, trust):
        while True:
            plain, _ = self.listener.accept()
            threading.Thread(target=self.echo, args=(trust, plain), daemon=True).start()

    def echo(self, trust, plain):
        with contextlib.suppress(OSError), trust.wrap_socket(plain, server_side=True) as tls:
            while data := tls.recv(65536):
                tls.sendall(data)


def survives(port, name, authority, seconds):
    """Whether a link carries bytes again after so many seconds without any; in words."""
    with connect(port, name, authority) as tls:
        tls.settimeout(seconds)
        began = time.monotonic()
        tls.sendall(b"before")
        if tls.recv(6) != b"before":
            return "does not echo"
        try:
            ended = tls.recv(1) == b""
        except TimeoutError:
            ended = False
        except OSError:
            ended = True
        if ended:
            return f"cut after {time.monotonic() - began:.0f} s"
        tls.sendall(b"after")
        return "carries on" if tls.recv(5) == b"after" else "does not echo"
