{{/*
Values that are each in order and impossible together. Every refusal is a sentence: which value, what it was, what it
must be. What one value alone can say is in values.schema.json.
*/}}

{{- define "rsc-train.checks" -}}
{{- include "rsc-train.checkNames" . -}}
{{- include "rsc-train.checkLabels" . -}}
{{- include "rsc-train.checkAnnotations" . -}}
{{- include "rsc-train.checkTolerations" . -}}
{{- include "rsc-train.checkRequests" . -}}
{{- include "rsc-train.checkDatabase" . -}}
{{- include "rsc-train.checkConfirmations" . -}}
{{- include "rsc-train.checkRuns" . -}}
{{- include "rsc-train.checkAccounts" . -}}
{{- include "rsc-train.checkNetwork" . -}}
{{- if .Values.rayjob.enabled -}}
{{- include "rsc-train.checkKubeRay" . -}}
{{- include "rsc-train.checkName" . -}}
{{- include "rsc-train.checkRun" . -}}
{{- include "rsc-train.checkMode" . -}}
{{- include "rsc-train.checkTimes" . -}}
{{- include "rsc-train.checkSizes" . -}}
{{- include "rsc-train.checkDemand" . -}}
{{- include "rsc-train.checkEnvironment" . -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkNames" -}}
{{- $fullname := include "rsc-train.fullname" . -}}
{{- if gt (len $fullname) 40 -}}
{{- fail (printf "the prefix of names was %s with %d characters, must have at most 40: shorten the release's name or give fullnameOverride" $fullname (len $fullname)) -}}
{{- end -}}
{{- if eq .Values.image.tag "latest" -}}
{{- fail "image.tag was latest, must be a version: the pods of one run would be made of different images" -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkLabels" -}}
{{- range $value, $labels := dict "podLabels" .Values.podLabels "monitoring.podMonitor.labels" .Values.monitoring.podMonitor.labels -}}
{{- range $key, $_ := $labels -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|managed-by|version)|rsc\\.dev/.*|ray\\.io/.*)$" $key -}}
{{- fail (printf "%s named %s, must not: the chart or KubeRay sets it, and network policies find the pods by such labels" $value $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A key that is there twice is no YAML: what reads it takes the one or the other. */}}
{{- define "rsc-train.checkAnnotations" -}}
{{- $given := dict "rayjob.annotations" .Values.rayjob.annotations "s3.serviceAccountAnnotations" .Values.s3.serviceAccountAnnotations -}}
{{- range list "head" "learner" "samplers" -}}
{{- $_ := set $given (printf "%s.podAnnotations" .) (get $.Values .).podAnnotations -}}
{{- end -}}
{{- range $value, $annotations := $given -}}
{{- range $key, $_ := $annotations -}}
{{- if regexMatch "^(checksum/config|helm\\.sh/.*|cluster-autoscaler\\.kubernetes\\.io/safe-to-evict|karpenter\\.sh/do-not-disrupt)$" $key -}}
{{- fail (printf "%s named %s, must not: the chart sets it" $value $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The rules of Kubernetes, which would refuse the pods and not the RayJob. */}}
{{- define "rsc-train.checkTolerations" -}}
{{- range $part, $settings := dict "head" .Values.head "learner" .Values.learner "samplers.onDemand" .Values.samplers.onDemand "samplers.spot" .Values.samplers.spot -}}
{{- range $toleration := $settings.tolerations -}}
{{- $operator := $toleration.operator | default "Equal" -}}
{{- if and (eq $operator "Exists") $toleration.value -}}
{{- fail (printf "%s.tolerations had the value %q with operator Exists, must have none, or operator Equal" $part $toleration.value) -}}
{{- end -}}
{{- if and (eq $operator "Equal") (not $toleration.key) -}}
{{- fail (printf "%s.tolerations had no key with operator Equal, must have one, or operator Exists" $part) -}}
{{- end -}}
{{- if and (hasKey $toleration "tolerationSeconds") (ne ($toleration.effect | default "") "NoExecute") -}}
{{- fail (printf "%s.tolerations had tolerationSeconds with effect %q, must have effect NoExecute" $part ($toleration.effect | default "")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A Job asks for a run by its whole id, and would find none of this name. */}}
{{- define "rsc-train.checkRuns" -}}
{{- range $value, $run := dict "jobs.verify.run" .Values.jobs.verify.run "jobs.reset.run" .Values.jobs.reset.run -}}
{{- if eq $run "last" -}}
{{- fail (printf "%s was last, must be the id of a run: another may have begun when the Job does" $value) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkRequests" -}}
{{- range $part := list "head" "autoscaler" "learner" "samplers" "submitter" "jobs" -}}
{{- $settings := get $.Values $part -}}
{{- with $settings.cpuRequest -}}
{{- $thousandths := ternary (trimSuffix "m" . | float64) (mulf 1000 (float64 .)) (hasSuffix "m" .) -}}
{{- if gt $thousandths (mul 1000 (int $settings.cpus) | float64) -}}
{{- fail (printf "%s.cpuRequest was %s, must be at most %s.cpus = %d: Kubernetes refuses a request above its limit" $part . $part (int $settings.cpus)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkDatabase" -}}
{{- if not .Values.database.existingSecret -}}
{{- fail "database.existingSecret was empty, must name the Secret with the database's URL: kubectl create secret generic rsc-database --from-literal=url=postgresql://…" -}}
{{- end -}}
{{- with .Values.database.tls -}}
{{- if and .caConfigMap .caSecret -}}
{{- fail "database.tls.caConfigMap and database.tls.caSecret were both given, must be at most one of them" -}}
{{- end -}}
{{- if and (hasPrefix "verify" .mode) (not (or .caConfigMap .caSecret)) -}}
{{- fail (printf "database.tls.mode was %s without a certificate authority, must have database.tls.caConfigMap or database.tls.caSecret to verify against" .mode) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.s3.caConfigMap .Values.s3.caSecret -}}
{{- fail "s3.caConfigMap and s3.caSecret were both given, must be at most one of them" -}}
{{- end -}}
{{- if and .Values.s3.existingSecret .Values.s3.serviceAccountAnnotations -}}
{{- fail (printf "s3.existingSecret was %q beside s3.serviceAccountAnnotations, must be one way to the storage: keys win over an identity, which would never be used" .Values.s3.existingSecret) -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkConfirmations" -}}
{{- $database := .Values.database.name -}}
{{- with .Values.jobs.reset -}}
{{- if .enabled -}}
{{- if $.Values.rayjob.enabled -}}
{{- fail "jobs.reset.enabled was true in a release that trains, must be in a release of its own with rayjob.enabled=false: an upgrade would start another training beside it" -}}
{{- end -}}
{{- if and (eq .scope "run") (not .run) -}}
{{- fail "jobs.reset.run was empty, must be the id of the run that is removed (jobs.reset.scope is run)" -}}
{{- end -}}
{{- if and (eq .scope "older-than") (not .olderThan) -}}
{{- fail "jobs.reset.olderThan was empty, must be an age such as 30d (jobs.reset.scope is older-than)" -}}
{{- end -}}
{{- if and (ne .scope "run") .run -}}
{{- fail (printf "jobs.reset.run was %q with jobs.reset.scope %s, must be empty: the scope would remove more than that run" .run .scope) -}}
{{- end -}}
{{- $word := ternary .run $database (eq .scope "run") -}}
{{- if ne .confirm $word -}}
{{- fail (printf "jobs.reset.confirm was %q, must be %q: a reset removes records for ever and is confirmed by naming %s" .confirm $word (ternary "the run" "the database" (eq .scope "run"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.jobs.retention -}}
{{- if and .enabled (ne .confirm $database) -}}
{{- fail (printf "jobs.retention.confirm was %q, must be %q: retention removes records for ever, again and again, and is confirmed by naming the database" .confirm $database) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkAccounts" -}}
{{- if not .Values.serviceAccounts.create -}}
{{- range include "rsc-train.accountParts" . | fromJsonArray -}}
{{- if not (get $.Values.serviceAccounts .) -}}
{{- fail (printf "serviceAccounts.%s was empty, must name an account that exists because serviceAccounts.create is false" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.serviceAccounts.create -}}
{{- $seen := dict (printf "%s-hooks" (include "rsc-train.fullname" .)) "the hooks" -}}
{{- range $part := include "rsc-train.accountParts" . | fromJsonArray -}}
{{- $name := include "rsc-train.serviceAccountName" (dict "root" $ "part" $part) -}}
{{- with get $seen $name -}}
{{- fail (printf "serviceAccounts.%s was %s, which is the account of %s, must be another one, or serviceAccounts.create false with accounts that exist" $part $name .) -}}
{{- end -}}
{{- $_ := set $seen $name $part -}}
{{- end -}}
{{- end -}}
{{- if and .Values.rbac.users.create (not .Values.rbac.users.subjects) -}}
{{- fail "rbac.users.subjects was empty, must name who gets the Role: [{kind: Group, name: quants}]" -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkNetwork" -}}
{{- with .Values.networkPolicy -}}
{{- if .egress.enabled -}}
{{- if not .enabled -}}
{{- fail "networkPolicy.egress.enabled was true with networkPolicy.enabled false, must be false too: there would be no policy to hold the rules" -}}
{{- end -}}
{{- if not (or .egress.postgres .egress.extra) -}}
{{- fail "networkPolicy.egress.postgres was empty, must hold the address of the database: [{cidr: 10.1.2.3/32, port: 5432}]" -}}
{{- end -}}
{{- if and $.Values.rayjob.enabled (not (or .egress.s3 .egress.extra)) -}}
{{- fail "networkPolicy.egress.s3 was empty, must hold the addresses of the storage: [{cidr: 0.0.0.0/0, port: 443}] for AWS" -}}
{{- end -}}
{{- if and $.Values.rayjob.enabled (include "rsc-train.autoscaling" $) (not .egress.apiServer) -}}
{{- fail "networkPolicy.egress.apiServer was empty, must hold the real addresses of the API server (kubectl get endpointslices -n default kubernetes): the autoscaler could not make samplers" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Only where the cluster is seen: rendering alone knows no API versions. */}}
{{- define "rsc-train.checkKubeRay" -}}
{{- if not (.Capabilities.APIVersions.Has "ray.io/v1") -}}
{{- if lookup "v1" "ServiceAccount" .Release.Namespace "default" -}}
{{- fail "the cluster had no API ray.io/v1, must have the KubeRay operator 1.6 or newer: helm install kuberay-operator --repo https://ray-project.github.io/kuberay-helm/ kuberay-operator" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkName" -}}
{{- $name := include "rsc-train.rayJobName" . -}}
{{- if gt (len $name) 47 -}}
{{- fail (printf "the RayJob's name was %s with %d characters, must have at most 47: shorten the release's name, fullnameOverride or runId" $name (len $name)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $name) -}}
{{- fail (printf "the RayJob's name was %s, must begin with a letter and have only small letters, digits and dashes: give fullnameOverride" $name) -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkRun" -}}
{{- $given := 0 -}}
{{- range (list .Values.train.config .Values.train.file .Values.train.existingConfigMap) -}}
{{- if . -}}{{- $given = add1 $given -}}{{- end -}}
{{- end -}}
{{- if ne (int $given) 1 -}}
{{- fail (printf "%d of train.config, train.file and train.existingConfigMap were given, must be exactly one: --set-file train.file=run.yaml" $given) -}}
{{- end -}}
{{- if .Values.train.file -}}
{{- with get (fromYaml .Values.train.file) "Error" -}}
{{- fail (printf "train.file was no YAML (%s), must be a run's YAML file" .) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.storage.uri -}}
{{- fail "storage.uri was empty, must be where checkpoints go: s3://bucket/prefix" -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkMode" -}}
{{- if and (eq .Values.rayjob.submissionMode "SidecarMode") (eq .Values.podSecurity "restricted") -}}
{{- fail "rayjob.submissionMode was SidecarMode with podSecurity restricted, must be K8sJobMode there: KubeRay gives its sidecar no securityContext, and the namespace would refuse the head for ever" -}}
{{- end -}}
{{- if .Values.kueue.queueName -}}
{{- if .Values.samplers.spot.enabled -}}
{{- fail "samplers.spot.enabled was true with kueue.queueName, must be false: Kueue admits a job of fixed size, in which nothing falls back; put samplers.onDemand on the spot nodes" -}}
{{- end -}}
{{- else if .Values.kueue.priorityClass -}}
{{- fail (printf "kueue.priorityClass was %s without kueue.queueName, must have a queue to count in" .Values.kueue.priorityClass) -}}
{{- end -}}
{{- if and .Values.samplers.spot.enabled (not .Values.autoscaler.enabled) -}}
{{- fail "samplers.spot.enabled was true with autoscaler.enabled false, must be false: without the autoscaler nothing falls back to on-demand" -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkTimes" -}}
{{- $grace := .Values.grace -}}
{{- if lt (int $grace.drainSeconds) (int $grace.stopWaitSeconds) -}}
{{- fail (printf "grace.drainSeconds was %d, must be at least grace.stopWaitSeconds = %d: the actors that the last checkpoint needs would leave before it" (int $grace.drainSeconds) (int $grace.stopWaitSeconds)) -}}
{{- end -}}
{{- if lt (int $grace.terminationSeconds) (add (int $grace.stopWaitSeconds) 20 | int) -}}
{{- fail (printf "grace.terminationSeconds was %d, must be at least grace.stopWaitSeconds + 20 = %d: the operator reads the end of the job in the last seconds" (int $grace.terminationSeconds) (add (int $grace.stopWaitSeconds) 20)) -}}
{{- end -}}
{{- if lt (int $grace.terminationSeconds) (int $grace.drainSeconds) -}}
{{- fail (printf "grace.terminationSeconds was %d, must be at least grace.drainSeconds = %d: the kubelet would kill what drains" (int $grace.terminationSeconds) (int $grace.drainSeconds)) -}}
{{- end -}}
{{- $deadline := int .Values.rayjob.activeDeadlineSeconds -}}
{{- if ge (int .Values.rayjob.preRunningDeadlineSeconds) $deadline -}}
{{- fail (printf "rayjob.preRunningDeadlineSeconds was %d, must be less than rayjob.activeDeadlineSeconds = %d, which counts from the same moment" (int .Values.rayjob.preRunningDeadlineSeconds) $deadline) -}}
{{- end -}}
{{- if and .Values.train.timeBudgetSeconds (ge (int .Values.train.timeBudgetSeconds) $deadline) -}}
{{- fail (printf "train.timeBudgetSeconds was %d, must be less than rayjob.activeDeadlineSeconds = %d: the deadline kills without judging" (int .Values.train.timeBudgetSeconds) $deadline) -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkSizes" -}}
{{- range $part := list "head" "learner" "samplers" -}}
{{- $settings := get $.Values $part -}}
{{- $memory := int (include "rsc-train.mebibytes" $settings.memory) -}}
{{- if gt (mul 2 (int $settings.objectStoreMiB)) $memory -}}
{{- fail (printf "%s.objectStoreMiB was %d, must be at most half of %s.memory = %s: the object store is part of the pod's memory" $part (int $settings.objectStoreMiB) $part $settings.memory) -}}
{{- end -}}
{{- end -}}
{{- range $group := list .Values.samplers.onDemand .Values.samplers.spot -}}
{{- if gt (int $group.minReplicas) (int $group.maxReplicas) -}}
{{- fail (printf "minReplicas of a sampler group was %d, must be at most its maxReplicas = %d" (int $group.minReplicas) (int $group.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.samplers.spot.enabled (eq (int .Values.samplers.onDemand.maxReplicas) 0) -}}
{{- fail "samplers.onDemand.maxReplicas was 0 with spot samplers, must be at least 1: nothing would take over when spot nodes are absent" -}}
{{- end -}}
{{- end }}

{{/* What the run asks for against what the groups offer: what can never be placed waits for ever. */}}
{{- define "rsc-train.checkDemand" -}}
{{- $demand := include "rsc-train.demand" . | default "{}" | fromJson -}}
{{- $runners := int ($demand.num_env_runners | default 0) -}}
{{- $slots := int (include "rsc-train.samplerSlots" .) -}}
{{- if gt $runners $slots -}}
{{- fail (printf "resources.num_env_runners of the run was %d, must be at most %d: that many the sampler groups hold (maxReplicas x samplers.cpus)" $runners $slots) -}}
{{- end -}}
{{- if and (eq (int ($demand.num_learners | default 0)) 1) (lt (int .Values.learner.cpus) 2) -}}
{{- fail (printf "learner.cpus was %d, must be at least 2 with resources.num_learners = 1: one for the trial, one for the learner process" (int .Values.learner.cpus)) -}}
{{- end -}}
{{- $gpus := float64 ($demand.num_gpus_per_learner | default 0) -}}
{{- if gt $gpus (float64 .Values.learner.gpus) -}}
{{- fail (printf "resources.num_gpus_per_learner of the run was %v, must be at most learner.gpus = %d" $gpus (int .Values.learner.gpus)) -}}
{{- end -}}
{{- end }}

{{- define "rsc-train.checkEnvironment" -}}
{{- $seen := dict -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch "^(RSC_|AWS_|PG|RAY_AUTH_|RAY_JOB_STOP_|RAY_GRACEFUL_)|^(HOME|TMPDIR|RAY_USAGE_STATS_ENABLED|RAY_max_direct_call_object_size|RAY_worker_niceness)$" .name -}}
{{- fail (printf "extraEnv named %s, must not: the chart sets it" .name) -}}
{{- end -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "extraEnv named %s twice, must name it once" .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- end }}
