"""Faults: a change of the index is killed, failed or cut off at every single system call, and judged afterwards.

`ptracing` runs a change under ptrace(2) and meddles with one of its system calls; `publisher` has the changes;
`judging` says what must be true of a store whatever happened to it; `sweep` does it for every call. `crash_model`
replays the recorded calls on a file system that forgets what was not synced, in every way that POSIX allows;
`shutdowns` lets real file systems forget. `test_servers` does the like to whole servers.
"""
