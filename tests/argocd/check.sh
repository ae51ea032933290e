#!/usr/bin/env bash
# The health check for Argo CD (docs/argocd/health.lua) says of recorded statuses what it should.
set -euo pipefail
cd "$(dirname "$0")"
go run . test.lua
echo "argocd: health.lua is fine"
