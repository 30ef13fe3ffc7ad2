"""The smallest Django project: it says whether it believes to be asked by https."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import re_path

settings.configure(
    ALLOWED_HOSTS=[".example.com"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https") if "TOLD" in os.environ else None,
)


def who(request):
    return JsonResponse(
        {
            "secure": request.is_secure(),
            "uri": request.build_absolute_uri(),
            "wsgi": request.META["wsgi.url_scheme"],
            "remote": request.META["REMOTE_ADDR"],
            "for": request.META["HTTP_X_FORWARDED_FOR"],
        }
    )


urlpatterns = [re_path("", who)]
application = get_wsgi_application()
