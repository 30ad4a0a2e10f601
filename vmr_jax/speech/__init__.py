"""What is said in videos: read from subtitles or heard, found, and joined with what is seen."""
