"""Files anywhere: file systems by URI, and byte ranges as long as they were asked for."""
