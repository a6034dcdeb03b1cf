-- Both edit spec.runStrategy, which Git declares: Argo CD shows the difference as OutOfSync, and selfHeal takes it back. For acts that
-- declare nothing (restart, reset, pause) there is `kubectl xvirt`: an action here can only edit the object.
local strategy = obj.spec.runStrategy or "Always"
local actions = {}
actions["start"] = { ["disabled"] = strategy == "Always" }
actions["stop"] = { ["disabled"] = strategy == "Halted" }
return actions
