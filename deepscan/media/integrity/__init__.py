"""What of a file could not be seen: what demuxer, decoder and the containers themselves say of it."""
