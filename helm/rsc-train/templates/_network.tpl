{{/* Rules of the NetworkPolicies. */}}

{{- define "rsc-train.dnsEgress" -}}
{{- with .Values.networkPolicy.egress.dns -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .namespace }}
      podSelector:
        matchLabels: {{- toYaml .podLabels | nindent 10 }}
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
{{- end }}

{{/* Egress to addresses: `[{cidr, port}]`. */}}
{{- define "rsc-train.addressEgress" -}}
{{- range . }}
- to:
    - ipBlock:
        cidr: {{ .cidr }}
  ports:
    - {port: {{ int .port }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* Postgres, S3 and what else the program may reach. */}}
{{- define "rsc-train.programEgress" -}}
{{- with .Values.networkPolicy.egress }}
{{- include "rsc-train.addressEgress" .postgres }}
{{- include "rsc-train.addressEgress" .s3 }}
{{- with .extra }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Jobs: nobody reaches them. */}}
{{- define "rsc-train.jobsPolicy" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: {{ include "rsc-train.name" . }}
    app.kubernetes.io/instance: {{ .Release.Name }}
  matchExpressions:
    - key: app.kubernetes.io/component
      operator: In
      values: [migrate, preflight, verify, reset, retention]
ingress: []
{{- if .Values.networkPolicy.egress.enabled }}
policyTypes: [Ingress, Egress]
egress:
  {{- include "rsc-train.dnsEgress" . | nindent 2 }}
  {{- with include "rsc-train.programEgress" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
{{- else }}
policyTypes: [Ingress]
{{- end }}
{{- end }}
