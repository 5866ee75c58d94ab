"""Webhooks: changes of projects, reported to the receivers that operators name.

Theory of operation
-------------------
Every change has its entry in the audit log, in the record of its project (`quire.index.audit`). An event is such an
entry, so there is no event without its change, and none is lost with a process. A change writes nothing for webhooks,
and waits for nothing. After it is made, its worker tells its `Deliverer` the name of the project, in memory. Changes
that no deliverer was told of (the worker was killed, or a command made them on the store) are found by the search:
now and then one worker compares the projects' logs with what was delivered.

The progress of deliveries is in one small record per project, `<index>/deliveries/<project>` (`positions.py`): for each
webhook the revision up to which events were delivered, and the attempts at the next one. A worker that is about to
deliver takes the position by compare-and-swap (a lease), delivers the project's events one after the other, and moves
the position behind each one that the receiver took. So events of one project are delivered in their order, normally
once; a worker that dies between a delivery and the move leaves an event that is delivered again. A lease needs no
clock: a position that another worker has held, without any change, for LEASE seconds of the observer's own time is
taken over.

Each webhook has a thread of its own in each worker that delivers to it (`channels.py`), so a receiver that hangs delays
nothing but its own events.
"""
