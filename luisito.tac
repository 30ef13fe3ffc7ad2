"""For `twistd -y luisito.tac`: serves by $LUISITO_SETTINGS, else by settings.py in this folder."""

import os

from luisito.tap import make_application

beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "settings.py")
application = make_application(os.environ.get("LUISITO_SETTINGS", beside))
