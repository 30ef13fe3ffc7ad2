"""`luisito import`: site files of what nginx, systemd, supervisord, uWSGI and others are told."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from luisito.commands.settings_file import settings_file

if TYPE_CHECKING:
    from luisito.commands import Subparsers
    from luisito.settings import Settings

_EPILOG = """\
Sources are known by what they are: nginx's folder or files, folders of systemd's units,
supervisord's and uWSGI's files, a Procfile, ~/.puma-dev. What is read is never run, and stays as it
is. Without --to the files are printed; with it they are written, and none that is there is replaced
without --force.

  luisito import /etc/nginx/sites-enabled /etc/systemd/system
  luisito import /etc/nginx/sites-enabled /etc/systemd/system --to /etc/luisito/sites
  luisito import /srv/shop/Procfile --host shop.example --to /etc/luisito/sites

At the end it lists what was written, what nginx is to be told, what stays as it is, and what was
not translated: file and line, why, and what to do.

exit status:
  0  all that was found is in the files, or stays where it is
  1  something was not translated, or a file was left as it is: it is in the list
  2  the command line or the settings are wrong, or a source cannot be read; one line on stderr
     says what
"""


def add(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "import",
        help="write site files from nginx, systemd, supervisord, uWSGI, a Procfile or puma-dev",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="a file or a folder")
    parser.add_argument("--to", metavar="DIR", help="where site files are written: SITES_DIR")
    parser.add_argument("--dry-run", action="store_true", help="print them, even with --to")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--host", metavar="HOST", help="of the site that nothing gives a host")
    parser.add_argument(
        "--root", metavar="DIR", default="/", help="where paths in the sources begin, for a copy"
    )
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="the settings file ($LUISITO_SETTINGS, else settings.py in this folder, if any)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Writes or prints the files, and prints the list.

    Returns:
        0, or 1 where something was not translated.

    Raises:
        LuisitoError: nothing could be done.
    """
    from luisito.core.host import normalize
    from luisito.errors import BadHost, SettingsError
    from luisito.importing import report
    from luisito.importing.run import Order
    from luisito.importing.run import run as bring

    host = ""
    if options.host is not None:
        try:
            host = normalize(options.host.encode())
        except (BadHost, UnicodeError) as error:
            raise SettingsError(f"--host {options.host}: {error}; write shop.example") from None
    settings = _settings(options)
    dry = options.dry_run or options.to is None
    order = Order(
        options.sources,
        options.to,
        dry=dry,
        force=options.force,
        root=options.root,
        host=host,
    )
    outcome = bring(order, settings)
    print(report.text(outcome, settings, dry=dry))  # noqa: T201 - what it is for
    return report.status(outcome)


def _settings(options: argparse.Namespace) -> Settings:
    """Those of the file that is meant; without one, what is so by default."""
    from luisito.settings import from_mapping, load

    found = settings_file(options)
    if found is not None and found.problem is None:
        return load(found.path, found.text)
    return from_mapping({"SITES_DIR": "/etc/luisito/sites"})
