"""libpulsar, the C++ and Python client, in SNI-proxy mode straight through the hub, host-name
verification on.

    sni_client.py CA PARTY HUB MEGABYTES       to the party's broker and back, every message checked

Python's API does not show the two setters of C++ that the wheel exports, so they are called here on
the C++ object itself.
"""

import ctypes
import glob
import os
import random
import sys
import uuid

import _pulsar
import pulsar

CONFIGURATION = "_ZN6pulsar19ClientConfiguration"
SNI = 0


class Setters:
    """ClientConfiguration::setProxyServiceUrl and setProxyProtocol of the wheel's library."""

    def __init__(self):
        libraries = os.path.join(os.path.dirname(_pulsar.__file__), "pulsar_client.libs")
        library = ctypes.CDLL(glob.glob(os.path.join(libraries, "libpulsar-*.so"))[0])
        text = "RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
        self.url = getattr(library, f"{CONFIGURATION}18setProxyServiceUrlE{text}")
        self.url.argtypes, self.url.restype = [ctypes.c_void_p] * 2, ctypes.c_void_p
        self.protocol = getattr(library, f"{CONFIGURATION}16setProxyProtocolENS0_13ProxyProtocolE")
        self.protocol.argtypes, self.protocol.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_void_p
        self.kept = []

    def string(self, text):
        """A std::string of libstdc++: pointer, length, 16 bytes of its own."""
        data = ctypes.create_string_buffer(text.encode())
        value = (ctypes.c_uint64 * 4)(ctypes.addressof(data), len(text), len(text), 0)
        self.kept += [data, value]
        return ctypes.addressof(value)

    def set_proxy(self, configuration, url):
        # pybind11's object: its head, then the pointer to the C++ one.
        this = ctypes.c_void_p.from_address(id(configuration) + object.__basicsize__).value
        self.url(this, self.string(url))
        self.protocol(this, SNI)


def client(authority, party, hub):
    setters, plain = Setters(), _pulsar.Client

    def through_hub(url, configuration, *rest):
        setters.set_proxy(configuration, f"pulsar+ssl://{hub}")
        return plain(url, configuration, *rest)

    _pulsar.Client = through_hub
    return pulsar.Client(
        f"pulsar+ssl://{party}.fate.org:6651",
        tls_trust_certs_file_path=authority,
        tls_validate_hostname=True,
        logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error),
        operation_timeout_seconds=30,
    )


def main():
    authority, party, hub, megabytes = sys.argv[1:]
    link = client(authority, party, hub)
    topic = f"persistent://public/default/{uuid.uuid4().hex}"
    consumer = link.subscribe(topic, "checker", initial_position=pulsar.InitialPosition.Earliest)
    producer = link.create_producer(topic)
    bodies = [random.Random(n).randbytes(1_000_000) for n in range(int(megabytes))] + [b"last"]
    for body in bodies:
        producer.send(body)
    for number, body in enumerate(bodies):
        assert consumer.receive(30_000).data() == body, f"message {number} is another one"
    link.close()
    print(f"libpulsar {pulsar.__version__}: {len(bodies)} messages there and back")


main()
