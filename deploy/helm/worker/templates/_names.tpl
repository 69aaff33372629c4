{{/* Names and labels. A release of the chart prefect-worker can be upgraded to this one only while these are the same as there: selectors cannot be changed. */}}

{{- define "worker-chart.fullname" -}}
{{- default (printf "%s-prefect-worker" .Release.Name) .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "worker-chart.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "worker-chart.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "worker-chart.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "worker-chart.settings-name" -}}
{{- printf "%s-settings" (include "worker-chart.fullname" .) -}}
{{- end -}}

{{- define "worker-chart.selector" -}}
app.kubernetes.io/name: {{ default "prefect-worker" .Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "worker-chart.labels" -}}
{{ include "worker-chart.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* What a PodDisruptionBudget selects by, besides. */}}
{{- define "worker-chart.workload-label" -}}
prefect.io/worker-deployment-name: {{ include "worker-chart.fullname" . | quote }}
{{- end -}}

{{/* A value as YAML, with the templates in it carried out. */}}
{{- define "worker-chart.value" -}}
{{- $text := .value -}}
{{- if not (kindIs "string" $text) }}{{ $text = toYaml $text }}{{ end -}}
{{- tpl $text .context -}}
{{- end -}}

{{/* The metadata of an object: name, namespace, labels and annotations of its own. */}}
{{- define "worker-chart.metadata" -}}
{{- $root := .root -}}
name: {{ default (include "worker-chart.fullname" $root) .name | quote }}
{{- if not .clusterWide }}
namespace: {{ default (include "worker-chart.namespace" $root) .namespace | quote }}
{{- end }}
labels:
  {{- include "worker-chart.labels" $root | nindent 2 }}
  {{- with $root.Values.commonLabels }}
  {{- include "worker-chart.value" (dict "value" . "context" $root) | nindent 2 }}
  {{- end }}
  {{- with .labels }}
  {{- include "worker-chart.value" (dict "value" . "context" $root) | nindent 2 }}
  {{- end }}
{{- if or $root.Values.commonAnnotations .annotations }}
annotations:
  {{- with $root.Values.commonAnnotations }}
  {{- include "worker-chart.value" (dict "value" . "context" $root) | nindent 2 }}
  {{- end }}
  {{- with .annotations }}
  {{- include "worker-chart.value" (dict "value" . "context" $root) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Whether the image of the values is Prefect's own, which has no `worker` in it. */}}
{{- define "worker-chart.image-is-prefects" -}}
{{- if or (eq .Values.worker.image.repository "") (regexMatch "(^|/)prefecthq/prefect(-client)?$" .Values.worker.image.repository) }}yes{{ end -}}
{{- end -}}

{{- define "worker-chart.repository" -}}
{{- if include "worker-chart.image-is-prefects" . -}}
registry.example.com/prefect-worker
{{- else -}}
{{- .Values.worker.image.repository -}}
{{- end -}}
{{- end -}}

{{- define "worker-chart.image" -}}
{{- $image := .Values.worker.image -}}
{{- include "worker-chart.repository" . -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}
