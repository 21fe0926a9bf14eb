"""Links lead somewhere. Those within the docs are also checked by their build; nobody asks the network here."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.docs.pages import ROOT, Page, everything

#: Hosts that the docs may send a reader to.
KNOWN = {"docs.djangoproject.com", "docs.celeryq.dev", "kubernetes.io", "www.pgbouncer.org"}


@pytest.mark.parametrize("page", everything(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Page) -> None:
    assert [link for link in page.links if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Page, link: str) -> bool:
    if "://" in link:
        parts = urlsplit(link)
        return parts.scheme == "https" and parts.hostname in KNOWN and not parts.query and parts.port is None
    path, _, anchor = link.partition("#")
    target = (page.path.parent / path).resolve() if path else page.path
    if not target.is_file() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in Page(target).anchors)
