"""What gunicorn serves."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "showcase.settings")

# The handler of `runserver`: the admin's own files, without a step to collect them.
application = StaticFilesHandler(get_wsgi_application())
