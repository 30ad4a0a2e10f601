"""An index of video files as a web page, a REST API and tools of the Model Context Protocol."""
