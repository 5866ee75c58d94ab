"""What a server counts, and how the counts of all its workers become one page.

Theory of operation
-------------------
Counting must cost a request next to nothing, so a worker counts in plain numbers of its own (`tally`): no lock, no
label, no call but one. Once a second it writes them into a file of its own in the folder that the server's processes
share (`files`); whichever worker is asked adds up the files of all, and prometheus_client writes the page. So a page is
at most a second behind, and a worker that is killed takes at most its last second with it. prometheus_client has metric
objects and files for several processes too; docs/adr/0018 tells what they cost.

Counters of a worker that died must go on to count, or the sum would fall, which reads as a restart of everything. They
are added to one file, so that a server whose workers die every minute does not gather files for ever. Gauges of the
dead are removed. Folding and reading exclude each other by a lock on that folder, which is local.

The number of series is bounded by construction: the labels are routes, statuses, results and the like, all from fixed
lists (`catalog`). No name of a project, file, user or address ever becomes a label.
"""
