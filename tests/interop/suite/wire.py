"""What really went over the wire: the segments in which ClientHellos came."""

import socket
import struct
import threading
import time

# asm-generic/socket.h: the kernel's time of each packet, a struct timespec.
SO_TIMESTAMPNS = 35
# linux/if_packet.h: a packet to this host; on loopback each is seen going out as well.
PACKET_HOST = 0
ETH_P_ALL = 3
HANDSHAKE = 22


class HelloWatch:
    """Watches loopback for ClientHellos to `port`, while it is entered."""

    def __init__(self, port=443):
        self.port = port
        # (source address, source port) -> the segments of its first TLS record: size, seconds.
        self.hellos = {}
        self.over = threading.Event()

    def __enter__(self):
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.raw.bind(("lo", 0))
        self.raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.raw.settimeout(0.1)
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        # What was sent last is still to be read.
        time.sleep(0.2)
        self.over.set()
        self.thread.join()
        self.raw.close()

    def watch(self):
        while not self.over.is_set():
            try:
                packet, more, _, address = self.raw.recvmsg(65536, 64)
            except TimeoutError:
                continue
            if address[2] == PACKET_HOST:
                seconds, nanoseconds = struct.unpack("qq", more[0][2])
                self.take(packet, seconds + 1e-9 * nanoseconds)

    def take(self, packet, at):
        header = (packet[0] & 15) * 4
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        total = struct.unpack_from("!H", packet, 2)[0]
        source, port = struct.unpack_from("!HH", packet, header)
        payload = packet[header + (packet[header + 12] >> 4) * 4 : total]
        if port != self.port or not payload:
            return
        segments = self.hellos.get((packet[12:16], source))
        if segments is None and payload[0] == HANDSHAKE and len(payload) > 5:
            owed = 5 + struct.unpack_from("!H", payload, 3)[0]
            self.hellos[packet[12:16], source] = [owed, [(len(payload), at)]]
        elif segments and sum(size for size, _ in segments[1]) < segments[0]:
            segments[1].append((len(payload), at))

    def segments(self):
        """Per hello the sizes of its segments."""
        return [[size for size, _ in segments] for _, segments in self.hellos.values()]

    def gaps_ms(self):
        """Per hello of several segments, from the first to the last."""
        several = [segments for _, segments in self.hellos.values() if len(segments) > 1]
        return [1e3 * (segments[-1][1] - segments[0][1]) for segments in several]
