"""Sites made of texts, without a folder."""

import pytest

from luisito.errors import SiteFileError
from luisito.settings import from_mapping
from luisito.settings.sites import parts
from luisito.settings.sites.draft import Draft, chain
from luisito.settings.sites.making import make, site_name

OWNER = 1000


def settings(**names):
    return from_mapping({"CMD_TPL": "serve %PORT", **names})


def site(text, *, file="shop.example.toml", bases=None, tenant=None, common=None):
    """A site of a text, and of bases by their names."""

    def read(path, written):
        owner = OWNER if tenant is None else tenant.uid
        return parts.read(path, written.encode(), owner)

    def base(name, _):
        return read(f"{name}.base.toml", bases[name])

    draft = Draft(site_name(file), chain(read(file, text), base))
    return make(draft, tenant, common or settings())


def refusal(text, **more):
    """What is said of a text that makes no site."""
    with pytest.raises(SiteFileError) as caught:
        site(text, **more)
    assert str(caught.value).isprintable()
    return str(caught.value)
