"""Forbids splice(2) to itself, by a real seccomp filter, and becomes the program given.

    under_seccomp.py all | drains PROGRAM [ARGUMENT...]

`all`: every splice. `drains`: those whose length is not what a relay asks for when it fills a pipe,
so that bytes are in the pipe when it happens.
"""

import ctypes, os, platform, struct, sys
what, args = sys.argv[1], sys.argv[2:]
NR = {"x86_64": 275, "aarch64": 76}[platform.machine()]
LD, JEQ, RET, ALLOW, EPERM, FILL = 0x20, 0x15, 0x06, 0x7fff0000, 0x00050001, 512 * 1024
deny = [(RET, 0, 0, EPERM)]
if what == "drains":
    deny = [(LD, 0, 0, 16 + 8 * 4), (JEQ, 1, 0, FILL)] + deny
code = [(LD, 0, 0, 0), (JEQ, 0, len(deny), NR)] + deny + [(RET, 0, 0, ALLOW)]
raw = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
def prctl(*args):
    if libc.prctl(*[ctypes.c_ulong(arg) for arg in args]) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
program = Program(len(code), ctypes.cast(raw, ctypes.c_void_p))
prctl(38, 1, 0, 0, 0)
prctl(22, 2, ctypes.addressof(program), 0, 0)
os.execv(args[0], args)
