"""A mkdocs hook: the files outside docs/ that a page links to come into the site, as plain text.

A page links to a source file by its path, such as `../vmr_jax/types.py`, so that the link works
where the repository is read. In the site the same link leads to a copy,
`files/vmr_jax/types.py.txt`. A link to a file that is not there stays as it is, and `mkdocs build
--strict` refuses it.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK_OUTSIDE = re.compile(r"\]\(((?:\.\./)+[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the links of a page that leave docs/ lead to copies, which are added to `files`."""
    folder = posixpath.dirname(page.file.src_uri)

    def copied(link: re.Match[str]) -> str:
        """The link to the copy, or the link itself where no file outside docs/ is meant."""
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        source = Path(config.docs_dir, target)
        if not target.startswith("../") or not source.is_file():
            return link[0]
        copy = f"files/{target.lstrip('./')}.txt"
        if files.get_file_from_path(copy) is None:
            files.append(File.generated(config, copy, abs_src_path=str(source)))
        return f"]({posixpath.relpath(copy, folder or '.')})"

    return _LINK_OUTSIDE.sub(copied, markdown)
