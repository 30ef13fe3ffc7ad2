"""Pictures of the page for the documentation: python -m tests.pictures FOLDER.

They are of a Luisito that runs, with sites that are awake, asleep and broken.
"""

import argparse
import importlib.util
import sys
import threading
import time
from pathlib import Path

from tests.harness import processes
from tests.harness.browser import Browser
from tests.harness.server import Server, free_port

SIZES = {320: 720, 768: 900, 1440: 900}
SITES = (
    "shop", "blog", "wiki", "intranet", "tickets", "mail", "calendar", "photos", "survey",
    "crm", "docs", "status", "forum", "maps", "api", "notes", "library", "wishes", "radio",
)  # fmt: skip
BROKEN = {
    "billing.example": "django.db.utils.OperationalError: no such table: billing_invoice",
    "jobs.example": "ModuleNotFoundError: No module named 'celery'",
}
SHOT = "{name}-{width}-{scheme}.png"


def serving():
    """A server, and where its page is."""
    port = free_port()
    origin = {site: {"exit_early": 1, "say": words} for site, words in BROKEN.items()}
    server = Server(
        {
            "ADMIN_LISTEN": f"tcp:{port}:interface=127.0.0.1",
            "ALLOWED_HOSTS": ["*.example"],
            "MAX_SERVERS": 12,
            "MAX_MEMORY": 2 * 1024**3,
            "STATE_DIR": "<folder>/state",
            "OUTPUT_LOG_DIR": "<folder>/logs",
            "HIBERNATE_AFTER": 20,
        },
        origin=origin,
        ordinary=False,
    ).start()
    return server, f"http://localhost:{port}/"


def traffic(server, ended):
    """Requests, more for some sites than for others, until it is to end."""
    turn = 0
    while not ended.is_set():
        for number, site in enumerate(SITES[: 4 + turn % 5]):
            for _ in range(1 + (7 - number if number < 7 and turn % 3 else 0)):
                server.request(host=f"{site}.example", target="/bytes/2000")
        turn += 1
        ended.wait(0.3)


def smaller(path):
    """Takes away what nobody sees, where Pillow is installed."""
    if importlib.util.find_spec("PIL") is not None:
        image = importlib.import_module("PIL.Image")
        found = image.open(path).convert("RGB").quantize(256, kmeans=3, dither=image.Dither.NONE)
        found.save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=40.0, help="of traffic before")
    options = parser.parse_args()
    server, url = serving()
    ended = threading.Event()
    try:
        for site in [*SITES, *BROKEN]:
            server.request(host=site if site in BROKEN else f"{site}.example")
        threading.Thread(target=traffic, args=(server, ended), daemon=True).start()
        with Browser() as browser:
            browser.size(1440)
            browser.go(url)
            browser.until("document.querySelectorAll('#rows tr[data-site]').length > 10")
            time.sleep(options.seconds)
            for name, where in (
                ("page", "#/"),
                ("page-site", "#/site/shop.example"),
                ("page-failed", "#/site/billing.example"),
                ("page-advice", "#/advice"),
            ):
                browser.run(f"location.hash = {where!r}")
                browser.until("Boolean(document.querySelector('main h1, main .card'))")
                time.sleep(5 if name == "page-site" else 1)
                for width, height in SIZES.items():
                    browser.size(width, height)
                    for scheme in ("light", "dark"):
                        browser.scheme(scheme)
                        time.sleep(0.3)
                        path = options.folder / SHOT.format(name=name, width=width, scheme=scheme)
                        browser.picture(path)
                        smaller(path)
                        print(path, path.stat().st_size)
        ended.set()
        if browser.said:
            print(f"the console says: {browser.said}", file=sys.stderr)
    finally:
        ended.set()
        server.finish()
        processes.reap_orphans(set())


if __name__ == "__main__":
    main()
