{{/* The run's YAML, and what it demands. */}}

{{- define "rsc-train.config" -}}
{{- if .Values.train.file -}}{{- .Values.train.file -}}{{- else -}}{{- toYaml .Values.train.config -}}{{- end -}}
{{- end }}

{{- define "rsc-train.configChecksum" -}}
{{- with .Values.train.existingConfigMap -}}{{- sha256sum . -}}
{{- else -}}
{{- $files := "" -}}
{{- with .Values.train.files -}}{{- $files = toYaml . -}}{{- end -}}
{{- printf "%s%s" (include "rsc-train.config" .) $files | sha256sum -}}
{{- end -}}
{{- end }}

{{/* Data of a ConfigMap with the run's YAML and the Python files beside it. */}}
{{- define "rsc-train.runFiles" -}}
{{- $config := include "rsc-train.config" . -}}
{{- $bytes := len $config -}}
{{- range .Values.train.files -}}{{- $bytes = add $bytes (len .) -}}{{- end -}}
{{- if gt $bytes 1048576 -}}
{{- fail (printf (print
  "the run file and train.files had %d bytes, must be at most 1048576, which is all that a ConfigMap holds: "
  "put larger code into the image, as an installed package") $bytes) -}}
{{- end -}}
train.yaml: |
  {{- $config | nindent 2 }}
{{- with .Values.train.files }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The resources part of the run's YAML as JSON; empty when it stands in a ConfigMap that is not seen here. */}}
{{- define "rsc-train.demand" -}}
{{- with .Values.train -}}
{{- $given := list .config .file .existingConfigMap | compact | len -}}
{{- if ne $given 1 -}}
{{- fail (printf (print
  "%d of train.config, train.file and train.existingConfigMap were given, must be exactly one: "
  "--set-file train.file=run.yaml") $given) -}}
{{- end -}}
{{- if and .existingConfigMap .files -}}
{{- fail (printf
  "train.files was given with train.existingConfigMap %s, must be keys of that ConfigMap"
  .existingConfigMap) -}}
{{- end -}}
{{- $config := .config | default dict -}}
{{- if .file -}}
{{- $config = fromYaml .file -}}
{{- with get $config "Error" -}}
{{- fail (printf "train.file was no YAML (%s), must be a run's YAML file" .) -}}
{{- end -}}
{{- end -}}
{{- if not .existingConfigMap -}}{{- $config.resources | default dict | toJson -}}{{- end -}}
{{- end -}}
{{- end }}

{{/* What the run asks for against what the groups offer: what can never be placed waits for ever. */}}
{{- define "rsc-train.checkDemand" -}}
{{- $demand := include "rsc-train.demand" . | default "{}" | fromJson -}}
{{- $runners := int ($demand.num_env_runners | default 0) -}}
{{- $slots := int (include "rsc-train.samplerSlots" .) -}}
{{- if gt $runners $slots -}}
{{- fail (printf (print
  "resources.num_env_runners of the run was %d, must be at most %d: "
  "that many the sampler groups hold (maxReplicas x samplers.cpus)") $runners $slots) -}}
{{- end -}}
{{- $cpus := int .Values.learner.cpus -}}
{{- if and (eq (int ($demand.num_learners | default 0)) 1) (lt $cpus 2) -}}
{{- fail (printf (print
  "learner.cpus was %d, must be at least 2 with resources.num_learners = 1: "
  "one for the trial, one for the learner process") $cpus) -}}
{{- end -}}
{{- $gpus := float64 ($demand.num_gpus_per_learner | default 0) -}}
{{- if gt $gpus (float64 .Values.learner.gpus) -}}
{{- fail (printf
  "resources.num_gpus_per_learner of the run was %v, must be at most learner.gpus = %d"
  $gpus (int .Values.learner.gpus)) -}}
{{- end -}}
{{- end }}

{{/*
Seconds of training over all attempts; empty: no end of its own. The budget counts from the driver's start, the
deadline from the RayJob's, before its pods are there: they may need as long as preRunningDeadlineSeconds.
*/}}
{{- define "rsc-train.timeBudget" -}}
{{- $deadline := int .Values.rayjob.activeDeadlineSeconds -}}
{{- with .Values.train.timeBudgetSeconds -}}
{{- if ge (int .) $deadline -}}
{{- fail (printf (print
  "train.timeBudgetSeconds was %d, must be less than rayjob.activeDeadlineSeconds = %d: "
  "the deadline kills without evaluating") (int .) $deadline) -}}
{{- end -}}
{{- int . -}}
{{- else -}}
{{- if ge $deadline 1800 -}}
{{- $shorter := sub $deadline 600 -}}
{{- $budget := sub $shorter (int .Values.rayjob.preRunningDeadlineSeconds) -}}
{{- ternary $budget $shorter (gt $budget 0) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* MiB of a quantity in Mi or Gi. */}}
{{- define "rsc-train.mebibytes" -}}
{{- if hasSuffix "Gi" . -}}{{- trimSuffix "Gi" . | int | mul 1024 -}}
{{- else -}}{{- trimSuffix "Mi" . | int -}}{{- end -}}
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
