"""Every link between our own pages leads somewhere."""

import json
import re
import subprocess
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=HOUSE, capture_output=True, text=True, check=True
    ).stdout
    return [HOUSE / name for name in listed.split() if (HOUSE / name).exists()]


def prose(page: Path) -> str:
    """Text of a page without its code blocks; of a notebook its Markdown cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        text = "\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def broken(page: Path) -> list[str]:
    """Links to files that are not there; addresses of the web are not asked."""
    links = [link.partition("#")[0] for link in LINK.findall(prose(page))]
    own = [link for link in links if link and not re.match(r"[a-z]+:", link)]
    return [link for link in own if not (page.parent / link).exists()]


@pytest.mark.skipif(not (HOUSE / ".git").exists(), reason="needs a git checkout, to know which pages are ours")
def test_every_link_between_our_pages_leads_somewhere():
    pages = tracked("*.md", "*.ipynb")

    assert len(pages) > 20
    assert {str(page.relative_to(HOUSE)): broken(page) for page in pages if broken(page)} == {}


def test_the_rule_sees_a_broken_link(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#x) [b](gone.md) ![c](https://example.org/c.png)\n```\n[d](also-gone.md)\n```\n")

    assert broken(page) == ["gone.md"]
