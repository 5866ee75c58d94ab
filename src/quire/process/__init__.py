"""The parts of one worker process: its memory budget, its allocator, the folder that it shares with its siblings."""
