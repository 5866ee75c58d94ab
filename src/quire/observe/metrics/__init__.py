"""Counters of a server, and one page of the counts of all its workers.

Theory of operation
-------------------
Counting must cost a request almost nothing, so a worker counts in integers of its own (`tally`): no lock, no label, one
call. Once a second it writes them to its own file in the shared folder of the server's processes (`files`). The worker
that answers /metrics adds up the files of all, and prometheus_client writes the page. So a page is at most a second
behind, and the counts of a killed worker lack at most its last second. prometheus_client has metric objects and files
for several processes, too; docs/adr/0018 has their cost.

Counters of an exited worker must stay in the sum: a lower sum reads as a restart of the server. They are merged into
one file, so that the number of files stays bounded. Gauges of exited workers are removed. A lock on the (local) folder
excludes merging during reading.

The number of series is bounded by construction: the labels are routes, statuses, results and the like, all from fixed
lists (`catalog`). No name of a project, file, user or address ever becomes a label.
"""
