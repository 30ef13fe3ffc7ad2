"""Twisted's ReverseProxyResource, set up as its documentation does.

usage: reverse_proxy.py UPSTREAM-PORT PORT-WITHOUT-LOG PORT-WITH-LOG ACCESS-LOG
"""

import sys
from typing import Any

from twisted.internet import reactor
from twisted.web import proxy, server

# twisted.web is only partly typed.
ReverseProxyResource: Any = proxy.ReverseProxyResource
Site: Any = server.Site

upstream, bare, logged = (int(port) for port in sys.argv[1:4])
resource = ReverseProxyResource("127.0.0.1", upstream, b"")
reactor.listenTCP(bare, Site(resource), interface="127.0.0.1")
reactor.listenTCP(logged, Site(resource, logPath=sys.argv[4]), interface="127.0.0.1")
reactor.run()
