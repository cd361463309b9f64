{{/* Names and labels. */}}

{{- define "rsc-train.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "rsc-train.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "rsc-train.name" . -}}
{{- if contains $name .Release.Name -}}{{- .Release.Name -}}{{- else -}}{{- printf "%s-%s" .Release.Name $name -}}{{- end -}}
{{- end -}}
{{- end }}

{{/* What is new in each revision: the end of the names of what belongs to one run. */}}
{{- define "rsc-train.suffix" -}}
{{- .Values.runId | default (printf "r%d" (int .Release.Revision)) -}}
{{- end }}

{{- define "rsc-train.rayJobName" -}}
{{- printf "%s-%s" (include "rsc-train.fullname" .) (include "rsc-train.suffix" .) -}}
{{- end }}

{{- define "rsc-train.runId" -}}
{{- .Values.runId | default (include "rsc-train.rayJobName" .) -}}
{{- end }}

{{- define "rsc-train.configMapName" -}}
{{- .Values.train.existingConfigMap | default (printf "%s-config" (include "rsc-train.rayJobName" .)) -}}
{{- end }}

{{- define "rsc-train.authSecretName" -}}
{{- .Values.auth.existingSecret | default (printf "%s-ray-token" (include "rsc-train.fullname" .)) -}}
{{- end }}

{{/* The service account of one part: head, learner, sampler, submitter or jobs. */}}
{{- define "rsc-train.serviceAccountName" -}}
{{- $given := get .root.Values.serviceAccounts .part -}}
{{- $given | default (printf "%s-%s" (include "rsc-train.fullname" .root) .part) -}}
{{- end }}

{{/* The parts that have a service account, as JSON. */}}
{{- define "rsc-train.accountParts" -}}
{{- $parts := list "jobs" -}}
{{- if .Values.rayjob.enabled -}}
{{- $parts = list "head" "learner" "sampler" "jobs" -}}
{{- if eq .Values.rayjob.submissionMode "K8sJobMode" -}}{{- $parts = append $parts "submitter" -}}{{- end -}}
{{- end -}}
{{- $parts | toJson -}}
{{- end }}

{{- define "rsc-train.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{- printf "%s@%s" .repository .digest -}}
{{- else -}}{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}{{- end -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.selector" -}}
app.kubernetes.io/name: {{ include "rsc-train.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "rsc-train.labels" -}}
{{ include "rsc-train.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* Labels of a pod that works for a run. */}}
{{- define "rsc-train.podLabels" -}}
{{ include "rsc-train.labels" . }}
{{- if has .component (list "ray" "submitter" "preflight" "verify") }}
rsc.dev/run-id: {{ .runId | default (include "rsc-train.runId" .root) | quote }}
{{- end }}
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Annotations of a Helm hook: event and weight; its log is shown when it fails. */}}
{{- define "rsc-train.hook" -}}
helm.sh/hook: {{ .event }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- if .log }}
helm.sh/hook-output-log-policy: hook-failed
{{- end }}
{{- end }}
