{{/* The pods of the Ray cluster. */}}

{{/* Environment of every Ray container: root, group. */}}
{{- define "rsc-train.rayEnv" -}}
{{ include "rsc-train.identityEnv" . }}
- name: RSC_RUN_ID
  value: {{ include "rsc-train.runId" .root | quote }}
{{ include "rsc-train.scratchEnv" .root }}
# A stop waits for the driver's last checkpoint, and the actors it needs live on for it.
- name: RAY_JOB_STOP_WAIT_TIME_S
  value: {{ .root.Values.grace.stopWaitSeconds | quote }}
- name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
  value: {{ .root.Values.grace.drainSeconds | quote }}
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
# Weights and rounds travel inside Ray's calls (8 MiB, as rsc.training sets it on one machine).
- name: RAY_max_direct_call_object_size
  value: "8388608"
# A pod has nobody to whom training must give way.
- name: RAY_worker_niceness
  value: "0"
{{- include "rsc-train.extraEnv" .root }}
{{- end }}

{{- define "rsc-train.extraEnv" }}
{{- $ours := print "^(RSC_|AWS_|PG|RAY_AUTH_|RAY_JOB_STOP_|RAY_GRACEFUL_)|^(HOME|TMPDIR|RAY_USAGE_STATS_ENABLED"
  "|RAY_max_direct_call_object_size|RAY_worker_niceness)$" }}
{{- $seen := dict }}
{{- range .Values.extraEnv }}
{{- if regexMatch $ours .name }}
{{- fail (printf "extraEnv named %s, must not: the chart sets it" .name) }}
{{- end }}
{{- if hasKey $seen .name }}
{{- fail (printf "extraEnv named %s twice, must name it once" .name) }}
{{- end }}
{{- $_ := set $seen .name true }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Environment of the driver, over that. */}}
{{- define "rsc-train.driverEnv" -}}
{{- if not .Values.storage.uri }}
{{- fail "storage.uri was empty, must be where checkpoints go: s3://bucket/prefix" }}
{{- end -}}
- name: RSC_PLACEMENT
  value: cluster
- name: RSC_STORAGE_URI
  value: {{ .Values.storage.uri | quote }}
- name: RSC_DATABASE_WAIT_SECONDS
  value: {{ .Values.database.waitSeconds | quote }}
{{- with include "rsc-train.timeBudget" . }}
- name: RSC_TIME_BUDGET_SECONDS
  value: {{ . | quote }}
{{- end }}
{{- include "rsc-train.databaseEnv" (dict "root" .) }}
{{- include "rsc-train.s3Env" . }}
{{- end }}

{{/* What all Ray pods have in common: root, group, part (of the service accounts). */}}
{{- define "rsc-train.rayPod" -}}
serviceAccountName: {{ include "rsc-train.serviceAccountName" . }}
# The autoscaler alone gets a token for the API server; see the head's volumes.
automountServiceAccountToken: false
restartPolicy: Never
terminationGracePeriodSeconds: {{ include "rsc-train.terminationSeconds" .root }}
securityContext: {{- include "rsc-train.podSecurityContext" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rsc-train.terminationSeconds" -}}
{{- $drain := int .Values.grace.drainSeconds -}}
{{- $wait := int .Values.grace.stopWaitSeconds -}}
{{- $grace := int .Values.grace.terminationSeconds -}}
{{- if lt $drain $wait -}}
{{- fail (printf (print
  "grace.drainSeconds was %d, must be at least grace.stopWaitSeconds = %d: "
  "the actors that the last checkpoint needs would leave before it") $drain $wait) -}}
{{- end -}}
{{- if lt $grace (add $wait 20 | int) -}}
{{- fail (printf (print
  "grace.terminationSeconds was %d, must be at least grace.stopWaitSeconds + 20 = %d: "
  "the operator reads the end of the job in the last seconds") $grace (add $wait 20)) -}}
{{- end -}}
{{- if lt $grace $drain -}}
{{- fail (printf (print
  "grace.terminationSeconds was %d, must be at least grace.drainSeconds = %d: "
  "the kubelet would kill what drains") $grace $drain) -}}
{{- end -}}
{{- $grace -}}
{{- end }}

{{/* root, group, values (head, learner or samplers). */}}
{{- define "rsc-train.rayMetadata" -}}
{{- $annotations := (get .root.Values .values).podAnnotations -}}
labels:
  {{- include "rsc-train.podLabels" (dict "root" .root "component" "ray") | nindent 2 }}
  rsc.dev/group: {{ .group }}
annotations:
  checksum/config: {{ include "rsc-train.configChecksum" .root }}
  # Node autoscalers leave the pods of a run where they are.
  cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
  karpenter.sh/do-not-disrupt: "true"
  {{- with include "rsc-train.userAnnotations" (dict
    "value" (printf "%s.podAnnotations" .values) "annotations" $annotations) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Bytes of the object store: root, values. */}}
{{- define "rsc-train.objectStore" -}}
{{- $settings := get .root.Values .values -}}
{{- $store := int $settings.objectStoreMiB -}}
{{- if gt (mul 2 $store) (include "rsc-train.mebibytes" $settings.memory | int64) -}}
{{- fail (printf (print
  "%s.objectStoreMiB was %d, must be at most half of %s.memory = %s: "
  "the object store is part of the pod's memory") .values $store .values $settings.memory) -}}
{{- end -}}
{{- mul $store 1048576 | quote -}}
{{- end }}

{{/* The learner's pod or a sampler's: root, group, part, values (learner or samplers), placement, s3 (bool). */}}
{{- define "rsc-train.worker" -}}
metadata: {{- include "rsc-train.rayMetadata" . | nindent 2 }}
spec:
  {{- include "rsc-train.rayPod" . | nindent 2 }}
  {{- with include "rsc-train.placement" .placement }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- with (get .root.Values .values).runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  containers:
    - name: ray-worker
      image: {{ include "rsc-train.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      env:
        {{- include "rsc-train.rayEnv" . | nindent 8 }}
        {{- if .s3 }}
        - name: RSC_STORAGE_URI
          value: {{ .root.Values.storage.uri | quote }}
        {{- with include "rsc-train.s3Env" .root }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- end }}
      resources: {{- include "rsc-train.resources" . | nindent 8 }}
      securityContext: {{- include "rsc-train.containerSecurityContext" .root | nindent 8 }}
      volumeMounts:
        {{- include "rsc-train.scratchMounts" .root | nindent 8 }}
        {{- with include "rsc-train.caMounts" (dict "root" .root "s3" .s3) }}
        {{- . | trim | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "rsc-train.scratchVolumes" .root | nindent 4 }}
    {{- with include "rsc-train.caVolumes" (dict "root" .root "s3" .s3) }}
    {{- . | trim | nindent 4 }}
    {{- end }}
{{- end }}

{{/*
What a group runs on, for the run's records, where somebody says it: a pod cannot see the labels of its node. Ray
gets it as a label, because KubeRay refuses labels among rayStartParams.
*/}}
{{- define "rsc-train.nodeType" }}
{{- with .nodeType | default (get (.nodeSelector | default dict) "node.kubernetes.io/instance-type") }}
labels:
  rsc.dev/node-type: {{ . | quote }}
{{- end }}
{{- end }}

{{/* One group of samplers: root, group, and at (its nodes and numbers: onDemand or spot). */}}
{{- define "rsc-train.samplers" -}}
{{- $samplers := .root.Values.samplers }}
{{- $at := get $samplers .at }}
{{- $least := int $at.minReplicas }}
{{- $most := int $at.maxReplicas }}
{{- if gt $least $most }}
{{- fail (printf "minReplicas of a sampler group was %d, must be at most its maxReplicas = %d" $least $most) }}
{{- end }}
{{- $fixed := not (include "rsc-train.autoscaling" .root) }}
{{- $affinity := fromYaml (include "rsc-train.awayFromGpus" (dict "root" .root "affinity" $at.affinity)) }}
{{- $placement := dict
  "value" (printf "samplers.%s" .at) "nodeSelector" $at.nodeSelector "tolerations" $at.tolerations
  "affinity" $affinity "priorityClassName" $samplers.priorityClassName -}}
- groupName: {{ .group }}
  replicas: {{ ternary $most $least $fixed }}
  minReplicas: {{ ternary $most $least $fixed }}
  maxReplicas: {{ $most }}
  {{- if not $fixed }}
  idleTimeoutSeconds: {{ int .root.Values.autoscaler.idleTimeoutSeconds }}
  {{- end }}
  {{- if $at.priority }}
  priority: {{ int $at.priority }}
  {{- end }}
  {{- with include "rsc-train.nodeType" $at }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  rayStartParams:
    node-name: $RSC_NODE_NAME
    object-store-memory: {{ include "rsc-train.objectStore" (dict "root" .root "values" "samplers") }}
  resources:
    rsc_sampler: {{ $samplers.cpus | quote }}
  template:
    {{- include "rsc-train.worker" (dict
      "root" .root "group" .group "part" "sampler" "values" "samplers" "placement" $placement "s3" false) | nindent 4 }}
{{- end }}

{{- define "rsc-train.learner" -}}
{{- $learner := .Values.learner }}
{{- $tolerations := $learner.tolerations }}
{{- if $learner.gpus }}
{{- $taint := dict "key" $learner.gpuResource "operator" "Exists" "effect" "NoSchedule" }}
{{- $tolerations = append $tolerations $taint }}
{{- end }}
{{- $placement := dict
  "value" "learner" "nodeSelector" $learner.nodeSelector "tolerations" $tolerations
  "affinity" $learner.affinity "priorityClassName" $learner.priorityClassName -}}
- groupName: learner
  # Always one: with none the cluster would be ready without its GPU, and training would wait for ever.
  replicas: 1
  minReplicas: 1
  maxReplicas: 1
  {{- with include "rsc-train.nodeType" $learner }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  rayStartParams:
    node-name: $RSC_NODE_NAME
    object-store-memory: {{ include "rsc-train.objectStore" (dict "root" . "values" "learner") }}
  resources:
    rsc_main: "1"
    rsc_learner: "1"
  template:
    {{- include "rsc-train.worker" (dict
      "root" . "group" "learner" "part" "learner" "values" "learner" "placement" $placement "s3" true) | nindent 4 }}
{{- end }}
