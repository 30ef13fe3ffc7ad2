"""`manage.py prepare`: the database and the demo user, as the first start needs them."""

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import BaseCommand, call_command


class Command(BaseCommand):
    help = "Bring the database up to date and make the demo user (demo, password demo)."

    def handle(self, *args, **options):  # noqa: ARG002 - Django's signature
        call_command("migrate", verbosity=0)
        if not User.objects.filter(username="demo").exists():
            User.objects.create_superuser("demo", password="demo")
        (settings.VAR / "ready").touch()
