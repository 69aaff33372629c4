{{/* What the worker has to be allowed: what `worker kubernetes rbac` prints, which a test compares. */}}

{{- define "worker-chart.needs-secrets" -}}
{{- $said := .Values.role.secrets -}}
{{- if kindIs "bool" $said -}}
{{- if $said }}yes{{ end -}}
{{- else if or (ne (dig "kubernetes" "secrets" "secret" .Values.worker.settings) "environment") (eq (include "worker-chart.key-propagation" .) "autoSecret") -}}
yes
{{- end -}}
{{- end -}}

{{- define "worker-chart.rules" -}}
- apiGroups: ["batch"]
  resources: ["jobs"]
  verbs: ["create", "get", "list", "watch", "delete"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch", "delete"]
- apiGroups: [""]
  resources: ["pods/log"]
  verbs: ["get"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["list", "watch"]
{{- if include "worker-chart.needs-secrets" . }}
- apiGroups: [""]
  resources: ["secrets"]
  verbs: ["create", "get", "patch", "delete"]
{{- end }}
{{- end -}}

{{/* Where no run is started nothing is changed and no secret is read. */}}
{{- define "worker-chart.reading-rules" -}}
- apiGroups: ["batch"]
  resources: ["jobs"]
  verbs: ["get", "list", "watch"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch"]
- apiGroups: [""]
  resources: ["pods/log"]
  verbs: ["get"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["list", "watch"]
{{- end -}}

{{/* Namespaces with runs, as a list under `namespaces`. */}}
{{- define "worker-chart.run-namespaces" -}}
{{- $namespaces := .Values.role.namespaces -}}
{{- if not $namespaces }}{{ $namespaces = list (default (include "worker-chart.namespace" .) .Values.role.namespace) }}{{ end -}}
{{- toYaml (dict "namespaces" (uniq $namespaces)) -}}
{{- end -}}

{{/* What the worker watches: nothing here means all namespaces. */}}
{{- define "worker-chart.watched" -}}
{{- if not .Values.worker.config.observerClusterWide -}}
{{- default (join "," (include "worker-chart.run-namespaces" . | fromYaml).namespaces) .Values.worker.config.jobNamespace -}}
{{- end -}}
{{- end -}}

{{- define "worker-chart.subject" -}}
- kind: ServiceAccount
  name: {{ include "worker-chart.serviceAccount" . | quote }}
  namespace: {{ include "worker-chart.namespace" . | quote }}
{{- end -}}
