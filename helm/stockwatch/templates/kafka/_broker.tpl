{{- define "stockwatch.kafkaSelector" -}}
app.kubernetes.io/name: stockwatch-kafka
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stockwatch.kafkaLabels" -}}
{{ include "stockwatch.kafkaSelector" . }}
{{ include "stockwatch.commonLabels" . }}
{{- end -}}

{{/*
The cluster id of this release's Kafka, the same for every pod and every upgrade: a StockWatch goes on only with the
cluster that its status names. Kafka wants 16 bytes in 22 characters of URL-safe base64: 21 hexadecimal digits are such
characters, and the last one may be A, Q, g or w.
*/}}
{{- define "stockwatch.kafkaClusterId" -}}
{{ printf "%s/%s" .Release.Namespace .Release.Name | sha256sum | trunc 21 }}A
{{- end -}}

{{- define "stockwatch.kafkaProperties" -}}
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:9092,CONTROLLER://localhost:9093
advertised.listeners=PLAINTEXT://{{ .Values.kafka.name }}.{{ .Release.Namespace }}.svc:9092
log.dirs=/var/lib/kafka/data
num.partitions={{ .Values.kafka.partitions }}
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
{{- end -}}
