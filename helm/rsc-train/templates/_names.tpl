{{/* Names and labels. */}}

{{- define "rsc-train.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "rsc-train.fullname" -}}
{{- $name := include "rsc-train.name" . -}}
{{- $long := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $fullname := .Values.fullnameOverride | default $long -}}
{{- if gt (len $fullname) 40 -}}
{{- fail (printf (print
  "the prefix of names was %s with %d characters, must have at most 40: "
  "shorten the release's name or give fullnameOverride") $fullname (len $fullname)) -}}
{{- end -}}
{{- $fullname -}}
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
{{- if eq .tag "latest" -}}
{{- fail "image.tag was latest, must be a version: the pods of one run would be made of different images" -}}
{{- end -}}
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
{{- include "rsc-train.userLabels" (dict "value" "podLabels" "labels" .root.Values.podLabels) }}
{{- end }}

{{/* Labels of the user's: value (their name among the values), labels. */}}
{{- define "rsc-train.userLabels" -}}
{{- $ours := "^(app\\.kubernetes\\.io/(name|instance|component|managed-by|version)|rsc\\.dev/.*|ray\\.io/.*)$" }}
{{- range $key, $_ := .labels }}
{{- if regexMatch $ours $key }}
{{- fail (printf (print
  "%s named %s, must not: the chart or KubeRay sets it, "
  "and network policies find the pods by such labels") $.value $key) }}
{{- end }}
{{- end }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Annotations of the user's, likewise. A key that is there twice is no YAML: readers take the one or the other. */}}
{{- define "rsc-train.userAnnotations" -}}
{{- $ours := print "^(checksum/config|helm\\.sh/.*|cluster-autoscaler\\.kubernetes\\.io/safe-to-evict"
  "|karpenter\\.sh/do-not-disrupt)$" }}
{{- range $key, $_ := .annotations }}
{{- if regexMatch $ours $key }}
{{- fail (printf "%s named %s, must not: the chart sets it" $.value $key) }}
{{- end }}
{{- end }}
{{- with .annotations }}
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
