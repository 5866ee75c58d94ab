"""How fast quire is, beside other indexes and beside what the machine can do at most: `make bench`.

corpora     projects and files to serve, made on the spot
peers       the servers: quire, other indexes, nginx with the same pages, a bare handler
load        wrk, and what it prints
measures    what is measured, one module for each kind of figure
mirrors     details of mirrors that take too long for a run
results     what was measured, as JSON
report      tables, plots and targets from that, as docs/benchmarks.md
regress     counts work instead of time; a test uses it
"""
