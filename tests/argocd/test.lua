-- Runs the health check over statuses as the operator writes them: statuses.lua, which its unit tests keep.
local failed = 0
for _, case in ipairs(dofile("statuses.lua")) do
  obj = case.obj
  local health = dofile("../../docs/argocd/health.lua")
  if health.status ~= case.health or health.message == nil then
    print(case.name .. ": " .. tostring(health.status) .. " instead of " .. case.health)
    failed = failed + 1
  end
end
if failed > 0 then
  error(failed .. " health checks failed")
end
