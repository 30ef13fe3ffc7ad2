"""A Flask application that shows what reaches it through the proxy."""

import os
from datetime import datetime
from itertools import count
from pathlib import Path

import flask

SHARED = Path(__file__).parent.parent / "shared"
SINCE = f"{datetime.now():%H:%M:%S}"
numbers = count(1)

app = flask.Flask(__name__)


@app.get("/")
def page():
    return flask.render_template(
        "page.html", pid=os.getpid(), since=SINCE, number=next(numbers), request=flask.request
    )


@app.get("/<any('style.css', 'sites.js'):name>")
def shared(name):
    return flask.send_from_directory(SHARED, name)
