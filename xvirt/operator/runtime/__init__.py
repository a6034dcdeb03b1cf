"""What an operator is made of: objects followed, keys queued, one reconcile at a time per key, writes that are safe to repeat.

    API server --list, watch--> Reflector --put, delete--> Cache --(old, new)--> handlers
                                                             |                      | only enqueue keys
                                                             | read                 v
    API server <--apply, create, delete-- reconcile(key) <--N workers-- Controller(Queue)
                        ^                                                  ^ Requeue(after_s), back-off, resync
                        `-- guard() of the Lease, before every write

A controller is made of it like this:

    client = ApiClient(AiohttpTransport(find_access()), manager="example-operator", metrics=metrics)
    lease = Lease(client, LeaseOptions("example", "example-operator", identity))
    writes = client.guarded(lease.guard)
    things, pods = Cache(THINGS), Cache(PODS)
    reflectors = [Reflector(client, things), Reflector(client, pods, Selection(label="example.io/thing"))]
    status = StatusWriter(writes, things)

    async def reconcile(key: Key) -> Requeue | None:
        thing = things.get(key)                      # level-triggered: what is there now, never what an event said
        if thing is None:
            return None
        ...                                          # compare, at most one effect, then return; an exception is repeated
        await status.write(thing, {"phase": "Ready"})
        return Requeue(after_s=30)                   # or None: whatever changes enqueues the key

    controller = Controller("things", reconcile, synced=reflectors)
    controller.follow(things)                        # its own key
    controller.follow(pods, owner_keys("Thing"))     # the key of the Thing that owns the pod

    async with asyncio.TaskGroup() as tasks:         # one task's end is the end of all: no half-dead operator
        for reflector in reflectors:
            tasks.create_task(reflector.run())
        tasks.create_task(lease.run())
        await lease.acquired()
        tasks.create_task(controller.run())

clock       monotonic time for decisions, wall time only to be shown
errors      one tree; the class says what to do
resources   kinds as paths, objects as dicts, keys
access      server, CA, credentials: in the cluster (re-read) or of a kubeconfig
transport   bytes over HTTP; the only module that knows aiohttp
gate        who was told to come back later, holds everybody back
api         verbs; typed errors, hard timeouts, preconditions
cache       the last seen objects, with indexes; reads of one's own writes
reflector   keeps a cache true: list, watch, and everything that goes wrong with them
queue       keys: each once, by priority, fair between namespaces, with back-off
controller  workers over a queue
lease       who leads; stops by a hard deadline; epochs
writer      status: only on change, never over somebody's newer version
recorder    Events: aggregated, bounded, never in the way
metrics     prometheus-client

Must not import anything of xVirt but itself. Called by the rest of `xvirt.operator`, by `xvirt.gateway` and by the command line.
"""
