{{/* The run's YAML, and what it demands. */}}

{{- define "rsc-train.config" -}}
{{- if .Values.train.file -}}{{- .Values.train.file -}}{{- else -}}{{- toYaml .Values.train.config -}}{{- end -}}
{{- end }}

{{- define "rsc-train.configChecksum" -}}
{{- if .Values.train.existingConfigMap -}}{{- .Values.train.existingConfigMap | sha256sum -}}
{{- else -}}{{- include "rsc-train.config" . | sha256sum -}}{{- end -}}
{{- end }}

{{/* The resources part of the run's YAML as JSON; empty when it stands in a ConfigMap that is not seen here. */}}
{{- define "rsc-train.demand" -}}
{{- if not .Values.train.existingConfigMap -}}
{{- $config := .Values.train.config -}}
{{- if .Values.train.file -}}{{- $config = fromYaml .Values.train.file -}}{{- end -}}
{{- $config.resources | default dict | toJson -}}
{{- end -}}
{{- end }}

{{/*
Seconds of training over all executions; empty: no end of its own. The budget counts from the driver's start, the
deadline from the RayJob's, before its pods are there: they may need as long as preRunningDeadlineSeconds.
*/}}
{{- define "rsc-train.timeBudget" -}}
{{- if .Values.train.timeBudgetSeconds -}}{{- int .Values.train.timeBudgetSeconds -}}
{{- else if ge (int .Values.rayjob.activeDeadlineSeconds) 1800 -}}
{{- $shorter := sub (int .Values.rayjob.activeDeadlineSeconds) 600 -}}
{{- $budget := sub $shorter (int .Values.rayjob.preRunningDeadlineSeconds) -}}
{{- ternary $budget $shorter (gt $budget 0) -}}
{{- end -}}
{{- end }}

{{/* MiB of a quantity in Mi or Gi. */}}
{{- define "rsc-train.mebibytes" -}}
{{- if hasSuffix "Gi" . -}}{{- mul 1024 (trimSuffix "Gi" . | int) -}}{{- else -}}{{- trimSuffix "Mi" . | int -}}{{- end -}}
{{- end }}

{{/* Sampler pods at most, and env runners on them. */}}
{{- define "rsc-train.samplerSlots" -}}
{{- $pods := int .Values.samplers.onDemand.maxReplicas -}}
{{- if .Values.samplers.spot.enabled -}}{{- $pods = add $pods (int .Values.samplers.spot.maxReplicas) -}}{{- end -}}
{{- mul $pods (int .Values.samplers.cpus) -}}
{{- end }}

{{- define "rsc-train.autoscaling" -}}
{{- if and .Values.autoscaler.enabled (not .Values.kueue.queueName) -}}true{{- end -}}
{{- end }}
