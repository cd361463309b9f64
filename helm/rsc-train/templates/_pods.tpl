{{/* Parts of pods: security, environment, volumes. */}}

{{- define "rsc-train.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int .Values.securityContext.runAsUser }}
runAsGroup: {{ int .Values.securityContext.runAsGroup }}
fsGroup: {{ int .Values.securityContext.runAsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "rsc-train.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{/*
CPU and memory of root and values (head, learner, …): the limit of the CPU is what Ray counts, memory is requested
as a whole.
*/}}
{{- define "rsc-train.resources" -}}
{{- $settings := get .root.Values .values }}
{{- $cpus := int $settings.cpus }}
{{- with $settings.cpuRequest }}
{{- $thousandths := ternary (trimSuffix "m" . | float64) (mulf 1000 (float64 .)) (hasSuffix "m" .) }}
{{- if gt $thousandths (mul 1000 $cpus | float64) }}
{{- fail (printf
  "%s.cpuRequest was %s, must be at most %s.cpus = %d: Kubernetes refuses a request above its limit"
  $.values . $.values $cpus) }}
{{- end }}
{{- end -}}
requests:
  cpu: {{ $settings.cpuRequest | default $settings.cpus | quote }}
  memory: {{ $settings.memory }}
  {{- if $settings.gpus }}
  {{ $settings.gpuResource }}: {{ $settings.gpus | quote }}
  {{- end }}
limits:
  cpu: {{ $settings.cpus | quote }}
  memory: {{ $settings.memory }}
  {{- if $settings.gpus }}
  {{ $settings.gpuResource }}: {{ $settings.gpus | quote }}
  {{- end }}
{{- end }}

{{/* A variable from a field of the pod: name, path. */}}
{{- define "rsc-train.fieldEnv" -}}
- name: {{ .name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ .path }}
{{- end }}

{{/* A variable from a Secret: name, secret, key, optional (bool). */}}
{{- define "rsc-train.secretEnv" }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/* Where a pod is, for the run's attempts. */}}
{{- define "rsc-train.identityEnv" -}}
{{ include "rsc-train.fieldEnv" (dict "name" "RSC_POD_NAME" "path" "metadata.name") }}
{{ include "rsc-train.fieldEnv" (dict "name" "RSC_POD_UID" "path" "metadata.uid") }}
{{ include "rsc-train.fieldEnv" (dict "name" "RSC_NODE_NAME" "path" "spec.nodeName") }}
- name: RSC_POD_GROUP
  value: {{ .group }}
- name: RSC_IMAGE_DIGEST
  value: {{ .root.Values.image.digest | quote }}
- name: RSC_LOG_FORMAT
  value: json
{{- end }}

{{- define "rsc-train.scratchEnv" -}}
- name: HOME
  value: /home/rsc
- name: TMPDIR
  value: /tmp
{{- end }}

{{/* root, and secret in place of `database.existingSecret`. */}}
{{- define "rsc-train.databaseEnv" }}
{{- $database := .root.Values.database }}
{{- if not $database.existingSecret }}
{{- fail (print
  "database.existingSecret was empty, must name the Secret with the database's URL: "
  "kubectl create secret generic rsc-database --from-literal=url=postgresql://…") }}
{{- end }}
{{- include "rsc-train.secretEnv" (dict
  "name" "RSC_DATABASE_URL" "secret" (.secret | default $database.existingSecret) "key" $database.urlKey) }}
{{- with $database.tls }}
{{- if and (hasPrefix "verify" .mode) (not (or .caConfigMap .caSecret)) }}
{{- fail (printf (print
  "database.tls.mode was %s without a certificate authority, "
  "must have database.tls.caConfigMap or database.tls.caSecret to verify against") .mode) }}
{{- end }}
{{- if .mode }}
- name: PGSSLMODE
  value: {{ .mode }}
{{- end }}
{{- if or .caConfigMap .caSecret }}
- name: PGSSLROOTCERT
  value: /etc/rsc-ca/database/{{ .caKey }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rsc-train.s3Env" }}
{{- with .Values.s3 }}
{{- $secret := .existingSecret }}
{{- if and $secret .serviceAccountAnnotations }}
{{- fail (printf (print
  "s3.existingSecret was %q beside s3.serviceAccountAnnotations, must be one way to the storage: "
  "keys win over an identity, which would never be used") $secret) }}
{{- end }}
{{- if $secret }}
{{- include "rsc-train.secretEnv" (dict "name" "AWS_ACCESS_KEY_ID" "secret" $secret "key" .accessKeyIdKey) }}
{{- include "rsc-train.secretEnv" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" $secret "key" .secretAccessKeyKey) }}
{{- include "rsc-train.secretEnv" (dict
  "name" "AWS_SESSION_TOKEN" "secret" $secret "key" .sessionTokenKey "optional" true) }}
{{- end }}
{{- if .endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ .endpoint | quote }}
{{- else if $secret }}
{{- include "rsc-train.secretEnv" (dict
  "name" "AWS_ENDPOINT_URL" "secret" $secret "key" .endpointKey "optional" true) }}
{{- end }}
{{- if .region }}
- name: AWS_REGION
  value: {{ .region | quote }}
{{- else if $secret }}
{{- include "rsc-train.secretEnv" (dict "name" "AWS_REGION" "secret" $secret "key" .regionKey "optional" true) }}
{{- end }}
{{- if or .caConfigMap .caSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/rsc-ca/s3/{{ .caKey }}
{{- end }}
{{- end }}
{{- end }}

{{/* The certificates that S3 and the database are checked with: root, database (bool), s3 (bool). */}}
{{- define "rsc-train.caMounts" }}
{{- if and .database (or .root.Values.database.tls.caConfigMap .root.Values.database.tls.caSecret) }}
- name: database-ca
  mountPath: /etc/rsc-ca/database
  readOnly: true
{{- end }}
{{- if and .s3 (or .root.Values.s3.caConfigMap .root.Values.s3.caSecret) }}
- name: s3-ca
  mountPath: /etc/rsc-ca/s3
  readOnly: true
{{- end }}
{{- end }}

{{- define "rsc-train.caVolumes" }}
{{- if .database }}
{{- include "rsc-train.caVolume" (dict
  "name" "database-ca" "value" "database.tls" "from" .root.Values.database.tls) }}
{{- end }}
{{- if .s3 }}
{{- include "rsc-train.caVolume" (dict "name" "s3-ca" "value" "s3" "from" .root.Values.s3) }}
{{- end }}
{{- end }}

{{/* The volume of one authority: name, from (caConfigMap or caSecret), value (where they stand). */}}
{{- define "rsc-train.caVolume" }}
{{- if and .from.caConfigMap .from.caSecret }}
{{- fail (printf "%s.caConfigMap and %s.caSecret were both given, must be at most one of them" .value .value) }}
{{- end }}
{{- with .from.caConfigMap }}
- name: {{ $.name }}
  configMap:
    name: {{ . }}
{{- end }}
{{- with .from.caSecret }}
- name: {{ $.name }}
  secret:
    secretName: {{ . }}
{{- end }}
{{- end }}

{{- define "rsc-train.scratchMounts" -}}
- name: tmp
  mountPath: /tmp
- name: home
  mountPath: /home/rsc
{{- end }}

{{- define "rsc-train.scratchVolumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.scratch.tmpSize }}
- name: home
  emptyDir:
    sizeLimit: {{ .Values.scratch.homeSize }}
{{- end }}

{{/* Where a pod may go: nodeSelector, tolerations, affinity, priorityClassName, and value (their place). */}}
{{- define "rsc-train.placement" }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- range .tolerations }}
{{- include "rsc-train.checkToleration" (dict "value" $.value "toleration" .) }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* The rules of Kubernetes, which would refuse the pods and not the RayJob. */}}
{{- define "rsc-train.checkToleration" -}}
{{- $operator := .toleration.operator | default "Equal" -}}
{{- $effect := .toleration.effect | default "" -}}
{{- if and (eq $operator "Exists") .toleration.value -}}
{{- fail (printf
  "%s.tolerations had the value %q with operator Exists, must have none, or operator Equal"
  .value .toleration.value) -}}
{{- end -}}
{{- if and (eq $operator "Equal") (not .toleration.key) -}}
{{- fail (printf "%s.tolerations had no key with operator Equal, must have one, or operator Exists" .value) -}}
{{- end -}}
{{- if and (hasKey .toleration "tolerationSeconds") (ne $effect "NoExecute") -}}
{{- fail (printf
  "%s.tolerations had tolerationSeconds with effect %q, must have effect NoExecute" .value $effect) -}}
{{- end -}}
{{- end }}

{{/* The affinity given, else away from GPU nodes when there are any. */}}
{{- define "rsc-train.awayFromGpus" -}}
{{- if .affinity -}}
{{- toYaml .affinity -}}
{{- else if and (gt (int .root.Values.learner.gpus) 0) .root.Values.gpuNodeLabels -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
        {{- range .root.Values.gpuNodeLabels }}
          - {key: {{ . }}, operator: DoesNotExist}
        {{- end }}
{{- end -}}
{{- end }}
