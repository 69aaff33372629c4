{{/* The worker's own settings: worker.toml in a ConfigMap. Nothing secret is in it. */}}

{{/* All pools, as a list under `pools`: that of `config` first. */}}
{{- define "worker-chart.pools" -}}
{{- $pools := list -}}
{{- with .Values.worker.config.workPool }}{{ $pools = append $pools (dict "name" .) }}{{ end -}}
{{- toYaml (dict "pools" (concat $pools .Values.worker.pools)) -}}
{{- end -}}

{{/* Whether runs are only Jobs, which take nothing from the machine of the worker. */}}
{{- define "worker-chart.only-jobs" -}}
{{- $only := "yes" -}}
{{- range (include "worker-chart.pools" . | fromYaml).pools -}}
{{- if ne (default $.Values.worker.config.type .type) "kubernetes" }}{{ $only = "" }}{{ end -}}
{{- end -}}
{{- $only -}}
{{- end -}}

{{- define "worker-chart.settings-of-start" -}}
type: {{ .Values.worker.config.type | quote }}
install_policy: {{ .Values.worker.config.installPolicy | quote }}
create_pool_if_not_found: {{ .Values.worker.config.createPoolIfNotFound }}
{{- with .Values.worker.config.name }}
name: {{ . | quote }}
{{- end }}
{{- with .Values.worker.config.limit }}
limit: {{ int . }}
{{- end }}
{{- with .Values.worker.config.workQueues }}
work_queue: {{ toJson . }}
{{- end }}
{{- if include "worker-chart.template-configmap" . }}
base_job_template: /etc/worker-templates/default/baseJobTemplate.json
{{- end }}
{{ include "worker-chart.endpoint-settings" . }}
{{- end -}}

{{/* The sections, as YAML: those that the chart writes, and over them those of the values. */}}
{{- define "worker-chart.sections" -}}
{{- $shutdown := .Values.worker.shutdown -}}
{{- $computed := dict
  "start" (include "worker-chart.settings-of-start" . | fromYaml)
  "state" (dict "dir" "/var/lib/worker")
  "shutdown" (dict "runs" $shutdown.runs "drain_timeout_seconds" $shutdown.drainTimeoutSeconds "grace_seconds" $shutdown.graceSeconds)
-}}
{{- if include "worker-chart.only-jobs" . }}{{ $_ := set $computed "admission" (dict "enabled" false) }}{{ end -}}
{{- if .Values.worker.clientCertificate.existingSecret -}}
{{- $_ := set $computed "api" (dict "client_cert" "/etc/worker-tls/tls.crt" "client_key" "/etc/worker-tls/tls.key") -}}
{{- end -}}
{{- $computed = mergeOverwrite $computed (include "worker-chart.endpoint-sections" . | fromYaml) -}}
{{- toYaml (mergeOverwrite $computed (deepCopy .Values.worker.settings)) -}}
{{- end -}}

{{/* A value of TOML. JSON has the same text and lists; whole numbers must not become 15.0. */}}
{{- define "worker-chart.toml" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "worker-chart.toml-table" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "worker-chart.toml" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "worker-chart.toml-file" -}}
{{- range $name, $section := include "worker-chart.sections" . | fromYaml }}
[{{ $name }}]
{{- include "worker-chart.toml-table" $section }}
{{ end }}
{{- range $index, $pool := (include "worker-chart.pools" . | fromYaml).pools }}
[[pool]]
{{- $table := dict "name" $pool.name "type" $pool.type "limit" $pool.limit "work_queue" $pool.workQueues "prefetch_seconds" $pool.prefetchSeconds "create_pool_if_not_found" $pool.createPoolIfNotFound "rerun_on" $pool.rerunOn "rerun_max" $pool.rerunMax }}
{{- if $pool.baseJobTemplate }}{{ $_ := set $table "base_job_template" (printf "/etc/worker-templates/%d/baseJobTemplate.json" $index) }}{{ end }}
{{- include "worker-chart.toml-table" $table }}
{{ end }}
{{- end -}}
