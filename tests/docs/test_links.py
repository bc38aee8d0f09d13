"""Links between our pages lead somewhere, and paths named in them exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import DOCS, ROOT, blocks

PAGES = [path for path in (ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))) if "api" not in path.relative_to(ROOT).parts]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NAMED = re.compile(r"`((?:contracts|lilypad_agents|tests|bench|scripts|modules|docs|tools|bin)/[\w./-]*)`")


def slug(heading: str) -> str:
    """The anchor that a heading gets: lower case, punctuation dropped, spaces as hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(found) for found in re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_follow_links__of_a_page__lead_to_a_file_and_a_heading(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" not in target, f"{page.name}: {target} leaves the repository"
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_file(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_read_page__paths_it_names__exist(page: Path) -> None:
    for name in _NAMED.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_read_hints__pages_they_point_at__exist() -> None:
    """Docstrings and hints of the package speak of `docs/...` files and sections."""
    wrong = []
    for path in ROOT.glob("lilypad_agents/**/*.py"):
        for name in re.findall(r"docs/[a-z-]+(?:/[a-z-]+)*\.md", path.read_text(encoding="utf-8")):
            if not (ROOT / name).is_file():
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert wrong == []


def test_read_pages__fenced_blocks__are_closed_everywhere() -> None:
    assert sum(len(list(blocks(page))) for page in PAGES) > 20
