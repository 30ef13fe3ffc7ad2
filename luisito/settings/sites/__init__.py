"""Site files: one TOML file a site, from its text to a checked, frozen Site or an error.

The text is parsed (`toml`, `lines`), each key is read by the table (`table`, `readers`), bases are
put below and the whole is judged (`parts`, `making`, `tenants`), folders are looked through
(`folder`, `look`, `claims`), and what comes of it is written for others (`records`, `schema`).
"""
