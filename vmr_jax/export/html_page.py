"""What the pages of reports have in common: one file that fetches nothing, light or dark."""

from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --faint: #5f5f5f; --paper: #fff; --card: #f4f4f4;
  --line: #d0d0d0; --found: #0b63ce; --true: #0a7a3d; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --faint: #a5a5a5; --paper: #161616;
  --card: #222; --line: #444; --found: #7db4ff; --true: #6fd39a; --bad: #ff9a92; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; }
p { margin: .25rem 0; } .faint { color: var(--faint); font-size: .9rem; }
"""
# Nothing is fetched: no script or picture of another place, whatever a sentence says.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def whole_page(title: str, style: str, body: str, script: str) -> str:
    """A page with its style and script in it. `title` is text; the others are not escaped."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head><body>",
            body,
            f"<script>{script}</script></body></html>\n",
        ]
    )
