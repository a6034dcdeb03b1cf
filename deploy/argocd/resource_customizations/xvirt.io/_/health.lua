-- Health of every kind of xVirt, by kstatus's rules (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus), so that Argo CD
-- and Flux judge alike. A machine that is stopped as asked is Healthy. Where nobody can say how it is, because its host cannot be
-- reached, neither does this: Unknown holds a sync up, as Progressing does, and fails none.
local function find(conditions, name)
  for _, condition in ipairs(conditions or {}) do
    if condition.type == name then
      return condition
    end
  end
  return {}
end

local function text(condition, otherwise)
  if condition.message ~= nil and condition.message ~= "" then
    return condition.message
  end
  return condition.reason or otherwise
end

if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "Being deleted" }
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for xVirt to see this generation" }
end

local ready = find(status.conditions, "Ready")
local reconciling = find(status.conditions, "Reconciling")
local stalled = find(status.conditions, "Stalled")
if stalled.status == "True" then
  return { status = "Degraded", message = text(stalled, "Stalled") }
end
if ready.status == "Unknown" then
  return { status = "Unknown", message = text(ready, "Unknown") }
end
if reconciling.status == "True" then
  return { status = "Progressing", message = text(reconciling, "Reconciling") }
end
if ready.status == "True" then
  local restart = find(status.conditions, "RestartRequired")
  if restart.status == "True" then
    return { status = "Healthy", message = text(restart, "RestartRequired") }
  end
  return { status = "Healthy", message = status.printableStatus or text(ready, "Ready") }
end
return { status = "Progressing", message = text(ready, "Not ready yet") }
