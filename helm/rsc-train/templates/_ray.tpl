{{/* The pods of the Ray cluster. */}}

{{/* Environment of every Ray container: root, group. */}}
{{- define "rsc-train.rayEnv" -}}
{{ include "rsc-train.identityEnv" . }}
- {name: RSC_RUN_ID, value: {{ include "rsc-train.runId" .root | quote }}}
{{ include "rsc-train.scratchEnv" .root }}
# A stop waits for the driver's last checkpoint, and the actors it needs live on for it.
- {name: RAY_JOB_STOP_WAIT_TIME_S, value: {{ .root.Values.grace.stopWaitSeconds | quote }}}
- {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: {{ .root.Values.grace.drainSeconds | quote }}}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
# Weights and rounds travel inside Ray's calls (8 MiB, as rsc.training sets it on one machine).
- {name: RAY_max_direct_call_object_size, value: "8388608"}
# A pod has nobody to whom training must give way.
- {name: RAY_worker_niceness, value: "0"}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Environment of the driver, over that. */}}
{{- define "rsc-train.driverEnv" -}}
- {name: RSC_PLACEMENT, value: cluster}
- {name: RSC_STORAGE_URI, value: {{ .Values.storage.uri | quote }}}
- {name: RSC_DATABASE_WAIT_SECONDS, value: {{ .Values.database.waitSeconds | quote }}}
{{- with include "rsc-train.timeBudget" . }}
- {name: RSC_TIME_BUDGET_SECONDS, value: {{ . | quote }}}
{{- end }}
{{ include "rsc-train.databaseEnv" (dict "root" .) }}
{{- include "rsc-train.s3Env" . }}
{{- end }}

{{/* What all Ray pods have in common: root, group, part (of the service accounts). */}}
{{- define "rsc-train.rayPod" -}}
serviceAccountName: {{ include "rsc-train.serviceAccountName" . }}
# The autoscaler alone gets a token for the API server; see the head's volumes.
automountServiceAccountToken: false
restartPolicy: Never
terminationGracePeriodSeconds: {{ int .root.Values.grace.terminationSeconds }}
securityContext: {{- include "rsc-train.podSecurityContext" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rsc-train.rayMetadata" -}}
labels: {{- include "rsc-train.podLabels" (dict "root" .root "component" "ray") | nindent 2 }}
  rsc.dev/group: {{ .group }}
annotations:
  checksum/config: {{ include "rsc-train.configChecksum" .root }}
  # Node autoscalers leave the pods of a run where they are.
  cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
  karpenter.sh/do-not-disrupt: "true"
  {{- with .annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The learner's pod or a sampler's: root, group, part, settings, env, placement, caMounts, caVolumes. */}}
{{- define "rsc-train.worker" -}}
metadata: {{- include "rsc-train.rayMetadata" (dict "root" .root "group" .group "annotations" .settings.podAnnotations) | nindent 2 }}
spec:
  {{- include "rsc-train.rayPod" . | nindent 2 }}
  {{- with include "rsc-train.placement" .placement }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- with .settings.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  containers:
    - name: ray-worker
      image: {{ include "rsc-train.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      env:
        {{- include "rsc-train.rayEnv" . | nindent 8 }}
        {{- if .s3 }}
        - {name: RSC_STORAGE_URI, value: {{ .root.Values.storage.uri | quote }}}
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
{{- define "rsc-train.nodeType" -}}
{{- with .nodeType | default (get (.nodeSelector | default dict) "node.kubernetes.io/instance-type") }}
labels: {rsc.dev/node-type: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* One group of samplers: root, group, placement (its nodes and numbers). */}}
{{- define "rsc-train.samplers" -}}
{{- $samplers := .root.Values.samplers }}
{{- $fixed := not (include "rsc-train.autoscaling" .root) }}
{{- $affinity := fromYaml (include "rsc-train.awayFromGpus" (dict "root" .root "affinity" .placement.affinity)) }}
- groupName: {{ .group }}
  replicas: {{ ternary .placement.maxReplicas .placement.minReplicas $fixed | int }}
  minReplicas: {{ ternary .placement.maxReplicas .placement.minReplicas $fixed | int }}
  maxReplicas: {{ int .placement.maxReplicas }}
  {{- if not $fixed }}
  idleTimeoutSeconds: {{ int .root.Values.autoscaler.idleTimeoutSeconds }}
  {{- end }}
  {{- if .placement.priority }}
  priority: {{ int .placement.priority }}
  {{- end }}
  {{- with include "rsc-train.nodeType" .placement }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  rayStartParams: {node-name: $RSC_NODE_NAME, object-store-memory: {{ mul $samplers.objectStoreMiB 1048576 | quote }}}
  resources: {rsc_sampler: {{ $samplers.cpus | quote }}}
  template:
    {{- $placement := dict "nodeSelector" .placement.nodeSelector "tolerations" .placement.tolerations "affinity" $affinity "priorityClassName" $samplers.priorityClassName }}
    {{- include "rsc-train.worker" (dict "root" .root "group" .group "part" "sampler" "settings" $samplers "placement" $placement "s3" false) | trim | nindent 4 }}
{{- end }}
