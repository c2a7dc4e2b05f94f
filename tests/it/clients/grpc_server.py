"""grpc_server.py CERTIFICATE KEY: echoes unary calls over TLS; prints its port; ends with stdin."""

import sys
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/test.Echo/Echo":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        return None


certificate, key = (open(path, "rb").read() for path in sys.argv[1:])
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), handlers=[Echo()])
port = server.add_secure_port(
    "127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)])
)
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
