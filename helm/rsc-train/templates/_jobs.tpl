{{/* The pods of the Jobs: one command of the program each. */}}

{{/* What a hook refers to must be a hook: the service account of Jobs, by whether this one is. */}}
{{- define "rsc-train.jobServiceAccountName" -}}
{{- if and .hook .root.Values.serviceAccounts.create -}}
{{- printf "%s-hooks" (include "rsc-train.fullname" .root) -}}
{{- else -}}
{{- include "rsc-train.serviceAccountName" (dict "root" .root "part" "jobs") -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.hookConfigMapName" -}}
{{- .Values.train.existingConfigMap | default (printf "%s-hooks" (include "rsc-train.fullname" .)) -}}
{{- end }}

{{/* A Job asks for a run by its whole id, and would find none of the name `last`: value (its name), run. */}}
{{- define "rsc-train.checkRunId" -}}
{{- if eq .run "last" -}}
{{- fail (printf
  "%s was last, must be the id of a run: another may have begun when the Job does" .value) -}}
{{- end -}}
{{- end }}

{{/*
Spec of a pod: root, component, command, hook (bool), secret, s3 (bool), config (name of the ConfigMap, or empty).
*/}}
{{- define "rsc-train.jobPodSpec" -}}
serviceAccountName: {{ include "rsc-train.jobServiceAccountName" . }}
automountServiceAccountToken: false
restartPolicy: Never
securityContext: {{- include "rsc-train.podSecurityContext" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "rsc-train.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: {{- toYaml .command | nindent 6 }}
    env:
      {{- include "rsc-train.identityEnv" (dict "root" .root "group" .component) | nindent 6 }}
      {{- include "rsc-train.scratchEnv" .root | nindent 6 }}
      {{- with include "rsc-train.databaseEnv" . }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      {{- if .s3 }}
      - name: RSC_STORAGE_URI
        value: {{ .root.Values.storage.uri | quote }}
      {{- with include "rsc-train.s3Env" .root }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      {{- end }}
      {{- if .config }}
      - name: RSC_RUN_ID
        value: {{ include "rsc-train.runId" .root | quote }}
      # Without Helm the migration begins at the same moment; the Job ends after 300 s.
      - name: RSC_DATABASE_WAIT_SECONDS
        value: {{ min 240 (int .root.Values.database.waitSeconds) | quote }}
      {{- end }}
    resources: {{- include "rsc-train.resources" (dict "root" .root "values" "jobs") | nindent 6 }}
    securityContext: {{- include "rsc-train.containerSecurityContext" .root | nindent 6 }}
    volumeMounts:
      {{- if .config }}
      - name: train
        mountPath: /etc/rsc
        readOnly: true
      {{- end }}
      {{- include "rsc-train.scratchMounts" .root | nindent 6 }}
      {{- with include "rsc-train.caMounts" (dict "root" .root "database" true "s3" .s3) }}
      {{- . | trim | nindent 6 }}
      {{- end }}
volumes:
  {{- if .config }}
  - name: train
    configMap:
      name: {{ .config }}
  {{- end }}
  {{- include "rsc-train.scratchVolumes" .root | nindent 2 }}
  {{- with include "rsc-train.caVolumes" (dict "root" .root "database" true "s3" .s3) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Spec of a Job: as above, and deadline (seconds), retries. */}}
{{- define "rsc-train.jobSpec" -}}
backoffLimit: {{ .retries }}
activeDeadlineSeconds: {{ .deadline }}
{{- if .ttl }}
ttlSecondsAfterFinished: {{ int .root.Values.jobs.ttlSecondsAfterFinished }}
{{- end }}
# Another start would end the same way: wrong usage, a failed check, bad input. Where the only input is the database,
# bad input may be a server that is away for a moment.
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        containerName: {{ .component }}
        operator: In
        values: {{ has .component (list "migrate" "verify") | ternary "[2, 3]" "[1, 2, 3]" }}
template:
  metadata:
    labels: {{- include "rsc-train.podLabels" . | nindent 6 }}
  spec: {{- include "rsc-train.jobPodSpec" . | nindent 4 }}
{{- end }}
