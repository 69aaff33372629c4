{{/* What is wrong with values that a schema cannot tell. */}}

{{/* The worst case of a stop, beside the two times that can be set: runs that do not end after their grace are killed and
     reported (10 s, then 2 s), and last log lines are delivered (6 s). */}}
{{- define "worker-chart.termination-grace" -}}
{{- $shutdown := .Values.worker.shutdown -}}
{{- $needed := add (ceil $shutdown.drainTimeoutSeconds) (ceil $shutdown.graceSeconds) 20 -}}
{{- $set := .Values.worker.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $set -}}
{{- $needed -}}
{{- else if lt (int64 $set) (int64 $needed) -}}
{{- fail (printf "worker.terminationGracePeriodSeconds is %d, but worker.shutdown needs %d seconds (drainTimeoutSeconds + graceSeconds + 20): raise it, or leave it unset" (int64 $set) (int64 $needed)) -}}
{{- else -}}
{{- int64 $set -}}
{{- end -}}
{{- end -}}

{{- define "worker-chart.checks" -}}
{{- $w := .Values.worker -}}
{{- $pools := (include "worker-chart.pools" . | fromYaml).pools -}}
{{- if not $pools }}{{ fail "worker.config.workPool is needed: the work pool to take runs from (or several in worker.pools)" }}{{ end -}}
{{- $names := list -}}
{{- range $pools -}}
{{- if has .name $names }}{{ fail (printf "worker.pools: pool %q is there twice" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range list "shutdown" "state" "pool" -}}
{{- if hasKey $w.settings . }}{{ fail (printf "worker.settings.%s: the chart writes this section itself, from worker.%s" . (get (dict "shutdown" "shutdown" "state" "state" "pool" "pools") .)) }}{{ end -}}
{{- end -}}
{{- if and $w.autoscaling.enabled $w.keda.enabled }}{{ fail "worker.autoscaling and worker.keda both scale the worker: enable one of them" }}{{ end -}}
{{- if and $w.keda.enabled (not $w.keda.triggers) }}{{ fail "worker.keda.triggers is needed: what the number of workers follows; docs/helm.md has an example" }}{{ end -}}
{{- if $w.state.existingClaim -}}
{{- if eq $w.kind "StatefulSet" }}{{ fail "worker.state.existingClaim is of a Deployment: the pods of a StatefulSet have a claim each" }}{{ end -}}
{{- if or (gt (int $w.replicaCount) 1) $w.autoscaling.enabled $w.keda.enabled }}{{ fail "worker.state.existingClaim is for one replica: several workers need kind StatefulSet, which makes a claim for each" }}{{ end -}}
{{- end -}}
{{- if and $w.customCa.existingConfigMap $w.customCa.existingSecret }}{{ fail "worker.customCa: existingConfigMap or existingSecret, not both" }}{{ end -}}
{{- if and (include "worker-chart.serves-health" .) (include "worker-chart.serves-metrics" .) (eq (int $w.health.port) (int $w.metrics.port)) }}{{ fail (printf "worker.health.port and worker.metrics.port are both %d" (int $w.health.port)) }}{{ end -}}
{{- end -}}
