"""Questions of network processes: most are answered by a helper, since a file system may hang."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.errors import LuisitoError
from luisito.spawner import helpers, logs, tree
from luisito.spawner.checks import wrong_site
from luisito.spawner.siteconfig import SiteConfig

if TYPE_CHECKING:
    from luisito.spawner.config import Config
    from luisito.spawner.helpers import Helpers
    from luisito.spawner.link import Link
    from luisito.spawner.servers import Servers
    from luisito.spawner.sites import Sites

_QUICK_LOOK = 32  # descriptors; a process with more of them must not keep the others waiting


def ask_owns(link: Link, order: wire.AskOwns, servers: Servers, work: Helpers) -> None:
    """Answer whether a socket belongs to a server."""
    server = servers.get(order.server)
    if server is None:
        link.send(wire.Owns(order.ask, False))
        return
    # Nearly always its first process has it, among its first descriptors. A fork costs more
    # than this look, which never waits, since nothing on the way asks the files themselves.
    if server.code is None and tree.owns([server.pid], order.inode, _QUICK_LOOK):
        link.send(wire.Owns(order.ask, True))
        return
    listed = servers.kin.listed(server)

    def look() -> tuple[wire.Owns, tuple[int, ...]]:
        pids = servers.kin.of(server) if listed is None else listed
        return helpers.look_for_socket(order, pids, server.uid, server.gid), ()

    work.run(look, lambda _message: link.send(wire.Owns(order.ask, False)), link.sock)


def ask_folder(
    link: Link, order: wire.AskFolder, config: Config, sites: Sites | None, work: Helpers
) -> None:
    """Answer whether a site's folder exists."""

    def failed(message: str) -> None:
        link.send(wire.Folder(order.ask, None, None, None, message))

    wrong = wrong_site(order.site)
    if wrong is not None:
        link.send(wire.Folder(order.ask, False, None, None, wrong))
        return
    row = None if sites is None else sites.find(order.site)
    record = None if sites is None or row is None else sites.record(row)

    def look() -> tuple[wire.Folder, tuple[int, ...]]:
        if record is None:
            return helpers.look_at_folder(config, order), ()
        of_site = SiteConfig.read(config, record)
        if of_site.folder(order.site) is None:  # it runs where Luisito was started
            return wire.Folder(order.ask, True, None, None, ""), ()
        return helpers.look_at_folder(of_site, order), ()

    work.run(look, failed, link.sock, about=order.site)


def ask_page(link: Link, order: wire.AskPage, config: Config, work: Helpers) -> None:
    """Answer with the waiting page that a site has of its own."""

    def failed(message: str) -> None:
        link.send(wire.Page(order.ask, message[: wire.MAX_TEXT]))

    sites = None if link.loading is None else link.loading.sites
    wrong = wrong_site(order.site, mounted=True)
    row = None if sites is None or wrong is not None else sites.find(order.site)
    if sites is None or row is None:
        failed(wrong or "the site has no file in SITES_DIR")
        return
    record = sites.record(row)

    def read() -> tuple[wire.Page, tuple[int, ...]]:
        try:
            data = SiteConfig.read(config, record).read_page()
        except LuisitoError as error:
            return wire.Page(order.ask, str(error)[: wire.MAX_TEXT]), ()
        page = os.memfd_create("luisito-page", os.MFD_CLOEXEC)
        os.write(page, data)
        return wire.Page(order.ask, ""), (page,)

    work.run(read, failed, link.sock, about=order.site)


def ask_config(link: Link, order: wire.AskConfig, work: Helpers) -> None:
    """Answer with what counts for a site that has a file."""

    def failed(message: str) -> None:
        link.send(wire.Page(order.ask, message[: wire.MAX_TEXT]))

    loading = link.loading
    wrong = wrong_site(order.site, mounted=True)
    if loading is None or wrong is not None:
        failed(wrong or "SITES_DIR is not set")
        return

    def explain() -> None:
        loading.explain(order, link.sock)

    work.run(explain, failed, about=order.site)


def ask_log(
    link: Link,
    order: wire.AskLog | wire.AskTail | wire.AskOwnLog,
    config: Config,
    work: Helpers,
) -> None:
    """Answer with an open log file, or with the end of one."""

    def failed(message: str) -> None:
        link.send(wire.Log(order.ask, message))

    def look() -> tuple[wire.Log, tuple[int, ...]]:
        if isinstance(order, wire.AskTail):
            return logs.read_tail(config, order)
        return logs.open_log(config, order)

    site = None if isinstance(order, wire.AskOwnLog) else order.site
    wrong = None if site is None else wrong_site(site, mounted=True)
    if wrong is not None:
        failed(wrong)
        return
    work.run(look, failed, link.sock, about=site)
