"""One browser and one server for all tests of the page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from browser import Browser, Page, started
from bundles import tiny_bundle
from visitors import assert_kept_to_itself, served

from kennel.bundle import Bundle, SplitFigures

FIGURES = SplitFigures(
    n=251,
    top1=0.9761,
    top1_interval=(0.9487, 0.989),
    macro_f1=0.968,
    macro_f1_interval=(0.939, 0.991),
    log_loss=0.099,
    log_loss_interval=(0.046, 0.165),
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), metrics={"test": FIGURES})


@pytest.fixture(scope="session")
def url(bundle: Bundle) -> Iterator[str]:
    with served(bundle) as address:
        yield address


@pytest.fixture(scope="session")
def locked(bundle: Bundle) -> Iterator[str]:
    """The same, for who has the key "open-sesame"."""
    with served(bundle, KENNEL_SERVE_KEYS=hashlib.sha256(b"open-sesame").hexdigest()) as address:
        yield address


@pytest.fixture(scope="session")
def desk(browser: Browser) -> Iterator[Page]:
    with browser.page() as page:
        yield page


@pytest.fixture
def page(desk: Page, url: str) -> Iterator[Page]:
    """The page, opened. After each test nothing may have gone elsewhere or against its policy."""
    desk.anew()
    desk.go(url)
    desk.wait("document.querySelector('#summary').textContent")
    yield desk
    assert_kept_to_itself(desk, url)
