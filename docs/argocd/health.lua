-- Health of a StockWatch for Argo CD: resource.customizations.health.stockwatch.dev_StockWatch in argocd-cm.
-- Suspended StockWatches are Healthy: a sync wave goes on. Paused ones are Degraded: they wait for somebody.
local generation = obj.metadata.generation
local status = obj.status or {}
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "It is being deleted" }
end
if status.observedGeneration ~= generation then
  return { status = "Progressing", message = "The operator has not seen this generation" }
end
local said = {}
for _, condition in ipairs(status.conditions or {}) do
  said[condition.type] = condition
end
if said.Stalled ~= nil and said.Stalled.status == "True" then
  return { status = "Degraded", message = said.Stalled.reason .. ": " .. said.Stalled.message }
end
local ready = said.Ready
if ready == nil then
  return { status = "Progressing", message = "The operator has said nothing yet" }
end
if ready.status == "True" and ready.observedGeneration == generation then
  return { status = "Healthy", message = ready.message }
end
return { status = "Progressing", message = ready.reason .. ": " .. ready.message }
