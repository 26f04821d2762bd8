"""The pages: links that lead somewhere, figures that are measured or say that they are not, TOML that is TOML."""
import re
import tomllib


def pages(root):
    return [root / "deploy/README.md", *sorted((root / "docs").glob("*.md"))]


def anchors(path):
    """GitHub's anchor of every heading."""
    return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", path.read_text(), re.M)}


def blocks(path):
    """The TOML a page shows."""
    return re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.M | re.S)


def commands(root):
    """The commands of the program that pages name, each with a page that does."""
    found = {}
    for page in pages(root):
        for code in re.findall(r"`([^`\n]+)`|^(tollgate .*)$", page.read_text(), re.M):
            if m := re.match(r"tollgate ((?:log|deck|call|block|sip|fraud) [a-z]+|[a-z-]+)", "".join(code)):
                found.setdefault(m[1], page)
    return found


def check(root, _):
    bad = []
    for page in pages(root):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            file, _, anchor = target.partition("#")
            if file.startswith(("http:", "https:")):
                continue
            there = (page.parent / file).resolve() if file else page
            if not there.exists():
                bad.append(f"{page}: the link to {target} leads nowhere")
            elif anchor and anchor not in anchors(there):
                bad.append(f"{page}: {there.name} has no section #{anchor}")
        for text in blocks(page):
            try:
                tomllib.loads(text)
            except tomllib.TOMLDecodeError as e:
                bad.append(f"{page}: its TOML: {e}")
    return bad, []
