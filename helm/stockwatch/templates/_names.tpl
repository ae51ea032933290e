{{/* The prefix of this release's names. */}}
{{- define "stockwatch.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The prefix of names that the whole cluster shares. */}}
{{- define "stockwatch.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "stockwatch.fullname" .) -}}
{{- end -}}

{{- define "stockwatch.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "stockwatch.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
The ClusterRole to read Secrets with; bound where the values say, or by whoever owns a namespace. Empty where an operator
of listed namespaces has a Role in each instead.
*/}}
{{- define "stockwatch.secretRole" -}}
{{- if or .Values.secrets.clusterWide (not .Values.namespaces) -}}
{{- printf "%s:secrets" (include "stockwatch.clusterName" .) -}}
{{- end -}}
{{- end -}}

{{- define "stockwatch.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end -}}

{{- define "stockwatch.selector" -}}
app.kubernetes.io/name: stockwatch-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stockwatch.labels" -}}
{{ include "stockwatch.selector" . }}
{{ include "stockwatch.commonLabels" . }}
{{- end -}}

{{/* The pod of helm test. */}}
{{- define "stockwatch.testSelector" -}}
app.kubernetes.io/name: stockwatch-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* A Secret to pull with: its name, or as pods have it. */}}
{{- define "stockwatch.pullSecret" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end -}}
{{- end -}}

{{/* The user's labels win, app.kubernetes.io/part-of for one: none is there twice. */}}
{{- define "stockwatch.commonLabels" -}}
{{- $own := dict
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "stockwatch"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge (deepCopy (default dict .Values.commonLabels)) $own) -}}
{{- end -}}

{{/* The operator's image. */}}
{{- define "stockwatch.operatorImage" -}}
{{- include "stockwatch.needImages" . -}}
{{- include "stockwatch.image" (list .Values.image .Chart.AppVersion) -}}
{{- end -}}

{{/* The worker's image. */}}
{{- define "stockwatch.workerImage" -}}
{{- include "stockwatch.needImages" . -}}
{{- include "stockwatch.image" (list .Values.worker.image .Chart.AppVersion) -}}
{{- end -}}

{{/* No public registry has the images: fails with the lines that build and push them. */}}
{{- define "stockwatch.needImages" -}}
{{- if not (and .Values.image.repository .Values.worker.image.repository) -}}
{{- $tag := .Chart.AppVersion -}}
{{- fail (join "\n" (list
  ""
  "image.repository and worker.image.repository are empty, and no public registry has these images."
  "Build them, push them to a registry of yours, and say where they are:"
  ""
  (printf "  docker build -f Dockerfile.operator -t REGISTRY/stockwatch-operator:%s ." $tag)
  (printf "  docker build -f Dockerfile.worker -t REGISTRY/stockwatch-worker:%s ." $tag)
  (printf "  docker push REGISTRY/stockwatch-operator:%s" $tag)
  (printf "  docker push REGISTRY/stockwatch-worker:%s" $tag)
  "  helm upgrade --install ... --set image.repository=REGISTRY/stockwatch-operator \\"
  "    --set worker.image.repository=REGISTRY/stockwatch-worker")) -}}
{{- end -}}
{{- end -}}

{{/* An image: (list image default-tag). */}}
{{- define "stockwatch.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What the Pod Security Standard "restricted" wants of a container, and a root file system that stays as it is. */}}
{{- define "stockwatch.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
{{- define "stockwatch.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "stockwatch.subjects" -}}
- kind: ServiceAccount
  name: {{ include "stockwatch.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
