{{/* Parts of pods: security, environment, volumes. */}}

{{- define "rsc-train.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ int .Values.securityContext.runAsUser }}
runAsGroup: {{ int .Values.securityContext.runAsGroup }}
fsGroup: {{ int .Values.securityContext.runAsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "rsc-train.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{/* CPU and memory: the limit of the CPU is what Ray counts, memory is requested as a whole. */}}
{{- define "rsc-train.resources" -}}
requests:
  cpu: {{ .settings.cpuRequest | default .settings.cpus | quote }}
  memory: {{ .settings.memory }}
  {{- if .settings.gpus }}
  {{ .settings.gpuResource }}: {{ .settings.gpus | quote }}
  {{- end }}
limits:
  cpu: {{ .settings.cpus | quote }}
  memory: {{ .settings.memory }}
  {{- if .settings.gpus }}
  {{ .settings.gpuResource }}: {{ .settings.gpus | quote }}
  {{- end }}
{{- end }}

{{/* Where a pod is, for the run's executions. */}}
{{- define "rsc-train.identityEnv" -}}
- {name: RSC_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: RSC_POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: RSC_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: RSC_POD_GROUP, value: {{ .group }}}
- {name: RSC_IMAGE_DIGEST, value: {{ .root.Values.image.digest | quote }}}
- {name: RSC_LOG_FORMAT, value: json}
{{- end }}

{{- define "rsc-train.scratchEnv" -}}
- {name: HOME, value: /home/rsc}
- {name: TMPDIR, value: /tmp}
{{- end }}

{{- define "rsc-train.databaseEnv" -}}
- name: RSC_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .secret | default .root.Values.database.existingSecret }}, key: {{ .root.Values.database.urlKey }}}}
{{- with .root.Values.database.tls }}
{{- if .mode }}
- {name: PGSSLMODE, value: {{ .mode }}}
{{- end }}
{{- if or .caConfigMap .caSecret }}
- {name: PGSSLROOTCERT, value: /etc/rsc-ca/database/{{ .caKey }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "rsc-train.s3Env" -}}
{{- with .Values.s3 }}
{{- if .existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKeyIdKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretAccessKeyKey }}}}
- name: AWS_SESSION_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .sessionTokenKey }}, optional: true}}
{{- end }}
{{- if .endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ .endpoint | quote }}}
{{- else if .existingSecret }}
- name: AWS_ENDPOINT_URL
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .endpointKey }}, optional: true}}
{{- end }}
{{- if .region }}
- {name: AWS_REGION, value: {{ .region | quote }}}
{{- else if .existingSecret }}
- name: AWS_REGION
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .regionKey }}, optional: true}}
{{- end }}
{{- if or .caConfigMap .caSecret }}
- {name: AWS_CA_BUNDLE, value: /etc/rsc-ca/s3/{{ .caKey }}}
{{- end }}
{{- end }}
{{- end }}

{{/* The certificates that S3 and the database are checked with. */}}
{{- define "rsc-train.caMounts" -}}
{{- if and .database (or .root.Values.database.tls.caConfigMap .root.Values.database.tls.caSecret) }}
- {name: database-ca, mountPath: /etc/rsc-ca/database, readOnly: true}
{{- end }}
{{- if and .s3 (or .root.Values.s3.caConfigMap .root.Values.s3.caSecret) }}
- {name: s3-ca, mountPath: /etc/rsc-ca/s3, readOnly: true}
{{- end }}
{{- end }}

{{- define "rsc-train.caVolumes" -}}
{{- if .database }}
{{- with .root.Values.database.tls }}
{{- if .caConfigMap }}
- {name: database-ca, configMap: {name: {{ .caConfigMap }}}}
{{- else if .caSecret }}
- {name: database-ca, secret: {secretName: {{ .caSecret }}}}
{{- end }}
{{- end }}
{{- end }}
{{- if .s3 }}
{{- with .root.Values.s3 }}
{{- if .caConfigMap }}
- {name: s3-ca, configMap: {name: {{ .caConfigMap }}}}
{{- else if .caSecret }}
- {name: s3-ca, secret: {secretName: {{ .caSecret }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rsc-train.scratchMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: home, mountPath: /home/rsc}
{{- end }}

{{- define "rsc-train.scratchVolumes" -}}
- {name: tmp, emptyDir: {sizeLimit: {{ .Values.scratch.tmpSize }}}}
- {name: home, emptyDir: {sizeLimit: {{ .Values.scratch.homeSize }}}}
{{- end }}

{{/* Where a pod may go. */}}
{{- define "rsc-train.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
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
