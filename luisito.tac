"""For `twistd -y luisito.tac`: serves by $LUISITO_SETTINGS, else by settings.py in this folder."""

import os

from luisito.tap import make_application

application = make_application(os.environ.get("LUISITO_SETTINGS", "settings.py"))
