"""Lists `luisito` among twistd's and twist's commands."""

from twisted.application.service import ServiceMaker

luisito = ServiceMaker(
    "Luisito",
    "luisito.tap",
    "Reverse proxy that starts app servers on demand and keeps those in use.",
    "luisito",
)
