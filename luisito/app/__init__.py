"""What runs Python applications: standalone, in the interpreter of each site (docs/apps.md).

It imports the standard library only, from Python 3.9 on, and the server of an application when that
is about to be served: the site's own waitress or uvicorn, else the one that came with Luisito.
"""
