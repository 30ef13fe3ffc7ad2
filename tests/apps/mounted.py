"""The same small app for Flask, Django and Starlette: where it is, as it says itself."""

import json
import os

PREFIXED = os.environ.get("APP_PREFIX")


def flask():
    from flask import Flask, jsonify, redirect, request, url_for
    from werkzeug.middleware.proxy_fix import ProxyFix

    app = Flask(__name__)

    @app.get("/")
    def index():
        return jsonify(script=request.root_path, path=request.path, url=url_for("index"))

    @app.get("/where/<path:rest>")
    def where(rest):
        return jsonify(script=request.root_path, path=rest, url=url_for("where", rest="x"))

    @app.get("/move")
    def move():
        return redirect(url_for("where", rest="there"))

    if PREFIXED:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)
    return app


def _django():
    import django
    from django.conf import settings
    from django.http import JsonResponse
    from django.shortcuts import redirect
    from django.urls import path, reverse

    def index(request):
        script = request.path.removesuffix(request.path_info)
        return JsonResponse({"script": script, "path": request.path_info, "url": reverse("index")})

    def where(request, rest):
        script = request.path.removesuffix(request.path_info)
        return JsonResponse({"script": script, "path": rest, "url": reverse("where", args=["x"])})

    def move(request):
        return redirect("where", rest="there")

    urls = type("urls", (), {})
    urls.urlpatterns = [
        path("", index, name="index"),
        path("where/<path:rest>", where, name="where"),
        path("move", move),
    ]
    settings.configure(
        SECRET_KEY="x",
        ROOT_URLCONF=urls,
        ALLOWED_HOSTS=["*"],
        FORCE_SCRIPT_NAME=PREFIXED,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    )
    django.setup()


def django_wsgi():
    from django.core.wsgi import get_wsgi_application

    _django()
    return get_wsgi_application()


def django_asgi():
    from django.core.asgi import get_asgi_application

    _django()
    return get_asgi_application()


def starlette():
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, RedirectResponse
    from starlette.routing import Route

    def told(request, name, path, **values):
        url = request.url_for(name, **values).path
        return JSONResponse({"script": request.scope["root_path"], "path": path, "url": url})

    async def index(request):
        return told(request, "index", "/")

    async def where(request):
        return told(request, "where", request.path_params["rest"], rest="x")

    async def move(request):
        return RedirectResponse(request.url_for("where", rest="there"))

    return Starlette(
        routes=[
            Route("/", index, name="index"),
            Route("/where/{rest:path}", where, name="where"),
            Route("/move", move),
        ]
    )


def echo(environ, start_response):
    """What a WSGI server makes of a request."""
    names = ("SCRIPT_NAME", "PATH_INFO", "RAW_URI", "REQUEST_URI", "HTTP_X_FORWARDED_PREFIX")
    body = json.dumps({name: environ.get(name) for name in names}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
