{{/* What the operator does in a namespace that it looks after. */}}
{{- define "stockwatch.operatorRules" -}}
# Reads StockWatches, and hands the same on to each worker for its own; sets and removes its finalizer.
- apiGroups: [stockwatch.dev]
  resources: [stockwatches]
  verbs: [get, list, watch, patch]
- apiGroups: [stockwatch.dev]
  resources: [stockwatches/status]
  verbs: [patch]
# Owns objects on their behalf, where owners must be told of (OwnerReferencesPermissionEnforcement).
- apiGroups: [stockwatch.dev]
  resources: [stockwatches/finalizers]
  verbs: [update]
# The objects that make up a worker; all but the Deployment go with their StockWatch, by the garbage collector.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Asks workers what they compute with, says why they do not start, and awaits their end before it deletes topics.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# Whether another release looks after the same.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [stockwatch-claim]
  verbs: [get, list]
# Says what it did and what is wrong.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
