"""How large: what workers give over a volume or a bucket, by a simulation with measured constants.

Theory of operation
-------------------
What decides how many requests a number of workers can answer is how they share the questions to their store, and that
is decided by the read barrier. So the barrier is not modelled: the simulation runs the barrier of the server
(`quire.catalog.freshness`), its memory and its budget, on an event loop whose clock goes forward by itself
(`benchmarks.sizing.virtual`). Around them stand models of three things that take time (`benchmarks.sizing.model`):

- a worker's processor, which does one thing after the other and takes measured times;
- the way to the store, which takes a round trip for each question;
- clients, which ask at random moments, for projects of which some are in much more demand than others (Zipf's law).

`benchmarks.sizing.measured` measures the constants on real servers, and asks real servers at two rates the questions
that the model predicts. `benchmarks.sizing.pages` makes the tables of docs/sizing.md.
"""
