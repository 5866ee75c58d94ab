"""What one worker process has: its memory budget, its allocator, the folder that it shares with its siblings."""
