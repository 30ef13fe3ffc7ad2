"""An app of the tests that takes megabytes: /take/N, from then on; anything else tells its pid.

It is started with its port and maybe its host; as slow.localhost it takes its time.
"""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

taken = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        words = self.path.split("/")
        if words[1] == "take":
            taken.append(b"x" * (int(words[2]) << 20))
        elif words[1] == "busy":
            time.sleep(float(words[2]))
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if sys.argv[2:] == ["slow.localhost"]:
    time.sleep(1)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
