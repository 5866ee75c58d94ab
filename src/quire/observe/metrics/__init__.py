"""What a server counts, and how the counts of all its workers become one page.

Theory of operation
-------------------
Counting must cost a request next to nothing, so a worker counts in plain numbers of its own (`tally`): no lock, no
label, no call but one. Once a second it writes what has changed into files in the folder that the server's processes
share (`files`), in the format of prometheus_client's multiprocess mode; whichever worker is asked adds up the files of
all. So a page is at most a second behind, and a worker that is killed takes at most its last second with it.

Counters of a worker that died must go on to count, or the sum would fall, which reads as a restart of everything. They
are folded into one file, so that a server whose workers die every minute does not gather files for ever. Gauges of the
dead are removed. Folding and reading exclude each other by a lock on that folder, which is local.

The number of series is bounded by construction: the labels are routes, statuses, results and the like, all from fixed
lists (`catalog`). No name of a project, file, user or address ever becomes a label.
"""
