"""The smallest WSGI app."""

import os


def app(environ, start_response):
    # gunicorn and waitress both end a chunked body by themselves (wsgi.input_terminated)
    size = environ.get("CONTENT_LENGTH")
    chunked = environ.get("HTTP_TRANSFER_ENCODING") == "chunked"
    body = environ["wsgi.input"].read(-1 if chunked else int(size or 0)) or b"hello"
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Pid", str(os.getpid()))])
    return [body]
