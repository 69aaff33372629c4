{{/* How the worker is told to serve health and metrics, and who asks there: the one place to change if that changes. */}}

{{- define "worker-chart.serves-health" -}}
{{- if or .Values.worker.livenessProbe.enabled .Values.worker.readinessProbe.enabled .Values.worker.startupProbe.enabled }}yes{{ end -}}
{{- end -}}

{{- define "worker-chart.serves-metrics" -}}
{{- $metrics := .Values.worker.metrics -}}
{{- if or $metrics.enabled $metrics.service.enabled $metrics.serviceMonitor.enabled $metrics.podMonitor.enabled }}yes{{ end -}}
{{- end -}}

{{/* Keys of the section `[start]`. */}}
{{- define "worker-chart.endpoint-settings" -}}
with_healthcheck: {{ if include "worker-chart.serves-health" . }}true{{ else }}false{{ end }}
{{- end -}}

{{- define "worker-chart.endpoint-env" -}}
{{- if include "worker-chart.serves-health" . }}
- name: PREFECT_WORKER_WEBSERVER_HOST
  value: "0.0.0.0"
- name: PREFECT_WORKER_WEBSERVER_PORT
  value: {{ .Values.worker.health.port | quote }}
{{- end }}
{{- end -}}

{{/* Further sections of the settings. Not by Prefect's PREFECT_CLIENT_METRICS_ENABLED, which runs would be handed too. */}}
{{- define "worker-chart.endpoint-sections" -}}
{{- if include "worker-chart.serves-metrics" . }}
monitoring:
  listen: {{ printf "0.0.0.0:%d" (int .Values.worker.metrics.port) }}
{{- end }}
{{- end -}}

{{- define "worker-chart.endpoint-ports" -}}
{{- if include "worker-chart.serves-health" . }}
- name: health
  containerPort: {{ .Values.worker.health.port }}
{{- end }}
{{- if include "worker-chart.serves-metrics" . }}
- name: metrics
  containerPort: {{ .Values.worker.metrics.port }}
{{- end }}
{{- end -}}

{{- define "worker-chart.probes" -}}
{{- range $name := list "startupProbe" "livenessProbe" "readinessProbe" }}
{{- $probe := index $.Values.worker $name }}
{{- if $probe.enabled }}
{{ $name }}:
  httpGet:
    path: {{ $probe.path | quote }}
    port: health
  {{- toYaml $probe.config | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* One endpoint of a ServiceMonitor or PodMonitor, which have the same form. */}}
{{- define "worker-chart.scrape" -}}
- port: metrics
  path: {{ .metrics.path | quote }}
  interval: {{ .monitor.interval | quote }}
  {{- with .monitor.scrapeTimeout }}
  scrapeTimeout: {{ . | quote }}
  {{- end }}
  {{- with .monitor.relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
