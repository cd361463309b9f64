{{/* The head's pod: GCS, autoscaler and the driver. */}}

{{- define "rsc-train.headPod" -}}
{{- $head := .Values.head }}
{{- $affinity := fromYaml (include "rsc-train.awayFromGpus" (dict "root" . "affinity" $head.affinity)) -}}
metadata:
  {{- include "rsc-train.rayMetadata" (dict "root" . "group" "head" "values" "head") | nindent 2 }}
spec:
  {{- include "rsc-train.rayPod" (dict "root" . "part" "head") | nindent 2 }}
  {{- with include "rsc-train.placement" (dict
    "value" "head" "nodeSelector" $head.nodeSelector "tolerations" $head.tolerations
    "affinity" $affinity "priorityClassName" $head.priorityClassName) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  containers:
    - name: ray-head
      image: {{ include "rsc-train.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      ports:
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: as-metrics, containerPort: 44217}
        - {name: dash-metrics, containerPort: 44227}
      env:
        {{- include "rsc-train.rayEnv" (dict "root" . "group" "head") | nindent 8 }}
        {{- include "rsc-train.driverEnv" . | nindent 8 }}
      # Ray does not pass SIGTERM on to the driver: this does. The last seconds keep the dashboard up until the
      # operator has read how the driver ended.
      lifecycle:
        preStop:
          exec:
            command:
              - bash
              - -c
              - P=$(cat $HOME/driver.pid) || exit 0; kill -TERM $P; while kill -0 $P; do sleep 1; done; sleep 15
      resources: {{- include "rsc-train.resources" (dict "root" . "values" "head") | nindent 8 }}
      securityContext: {{- include "rsc-train.containerSecurityContext" . | nindent 8 }}
      volumeMounts:
        - name: train
          mountPath: /etc/rsc
          readOnly: true
        {{- include "rsc-train.scratchMounts" . | nindent 8 }}
        {{- with include "rsc-train.caMounts" (dict "root" . "database" true "s3" true) }}
        {{- . | trim | nindent 8 }}
        {{- end }}
  volumes:
    - name: train
      configMap:
        name: {{ include "rsc-train.configMapName" . }}
    {{- include "rsc-train.scratchVolumes" . | nindent 4 }}
    {{- with include "rsc-train.caVolumes" (dict "root" . "database" true "s3" true) }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- if include "rsc-train.autoscaling" . }}
    # Mounted into the autoscaler alone, so that the training code holds no token of the API server.
    - name: api-access
      projected:
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: 3607
          - configMap:
              name: kube-root-ca.crt
              items:
                - {key: ca.crt, path: ca.crt}
          - downwardAPI:
              items:
                - path: namespace
                  fieldRef:
                    fieldPath: metadata.namespace
    {{- end }}
{{- end }}
