"""An index as tools of the Model Context Protocol."""

from pathlib import Path
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from vmr_jax.progress import ended_by_interrupts
from vmr_jax.serve.answers import LETTERS, MOST, VERSION, Moments, best_moments
from vmr_jax.serve.opened import NotInIndexError, ServedIndex

_Sentence = Annotated[str, Field(max_length=LETTERS, description="What happens in the moment.")]
_Top = Annotated[int, Field(ge=1, le=MOST, description="Moments at most.")]


def make_tools(index: Path) -> MCPServer:
    """A server with the tools `search` and `find`. Raises as Corpus and its search."""
    with ended_by_interrupts():
        served = ServedIndex(index)
    server = MCPServer("vmr_jax", version=VERSION, log_level="WARNING")

    @server.tool()
    def search(sentence: _Sentence, top: _Top = 5) -> Moments:
        """Find the moments of a sentence in all videos of the index, in seconds, best first."""
        return _moments(served, sentence, top)

    @server.tool()
    def find(sentence: _Sentence, video: str, top: _Top = 5) -> Moments:
        """Find the moments of a sentence in one video of the index, given by its id."""
        return _moments(served, sentence, top, video)

    return server


def _moments(served: ServedIndex, sentence: str, top: int, video: str | None = None) -> Moments:
    try:
        return best_moments(served.now(), sentence, top, video)
    except (NotInIndexError, ValueError, OSError) as error:
        raise ToolError(str(error)) from error
