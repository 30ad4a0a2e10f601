"""An index of video files: their frames in a joint space, searched by sentences, untrained."""
