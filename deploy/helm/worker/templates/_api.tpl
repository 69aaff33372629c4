{{/* Where the Prefect API is and how the worker and its runs log in to it. */}}

{{/* The block of values that `apiConfig` chooses. */}}
{{- define "worker-chart.api-block" -}}
{{- if eq .Values.worker.apiConfig "cloud" -}}
cloudApiConfig
{{- else if eq .Values.worker.apiConfig "customerManagedCloud" -}}
customerManagedCloudApiConfig
{{- else -}}
selfHostedServerApiConfig
{{- end -}}
{{- end -}}

{{- define "worker-chart.api-url" -}}
{{- $name := include "worker-chart.api-block" . -}}
{{- $api := index .Values.worker $name -}}
{{- if eq $name "selfHostedServerApiConfig" -}}
{{- required "worker.selfHostedServerApiConfig.apiUrl is needed: the address of the Prefect API, such as http://prefect-server.prefect:4200/api" $api.apiUrl -}}
{{- else -}}
{{- $base := $api.cloudUrl -}}
{{- if eq $name "customerManagedCloudApiConfig" }}{{ $base = required "worker.customerManagedCloudApiConfig.apiUrl is needed: the address of the API without account and workspace" $api.apiUrl }}{{ end -}}
{{- $account := required (printf "worker.%s.accountId is needed: the account at Prefect Cloud" $name) $api.accountId -}}
{{- $workspace := required (printf "worker.%s.workspaceId is needed: the workspace at Prefect Cloud" $name) $api.workspaceId -}}
{{- printf "%s/accounts/%s/workspaces/%s" (trimSuffix "/" $base) $account $workspace -}}
{{- end -}}
{{- end -}}

{{- define "worker-chart.auth-secret" -}}
{{- default (printf "%s-auth" (include "worker-chart.fullname" .)) .Values.worker.selfHostedServerApiConfig.basicAuth.existingSecret -}}
{{- end -}}

{{/* `secretRef`, `autoSecret`, `envVar`, or nothing where there is no API key. */}}
{{- define "worker-chart.key-propagation" -}}
{{- $api := index .Values.worker (include "worker-chart.api-block" .) -}}
{{- if hasKey $api "apiKeySecret" }}{{ default "secretRef" $api.jobApiKeyPropagation }}{{ end -}}
{{- end -}}

{{/* What the API asks for: for the worker, and for the init container with Prefect's CLI. */}}
{{- define "worker-chart.api-env" -}}
{{- $api := index .Values.worker (include "worker-chart.api-block" .) -}}
- name: PREFECT_API_URL
  value: {{ include "worker-chart.api-url" . | quote }}
{{- if hasKey $api "apiKeySecret" }}
- name: PREFECT_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $api.apiKeySecret.name | quote }}
      key: {{ $api.apiKeySecret.key | quote }}
{{- end }}
{{- with $api.cloudApiUrl }}
- name: PREFECT_CLOUD_API_URL
  value: {{ . | quote }}
{{- end }}
{{- with $api.cloudUiUrl }}
- name: PREFECT_CLOUD_UI_URL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.worker.selfHostedServerApiConfig.basicAuth.enabled }}
- name: PREFECT_API_AUTH_STRING
  valueFrom:
    secretKeyRef:
      name: {{ include "worker-chart.auth-secret" . | quote }}
      key: auth-string
{{- end }}
{{- if or .Values.worker.customCa.existingConfigMap .Values.worker.customCa.existingSecret }}
- name: SSL_CERT_FILE
  value: {{ printf "/etc/worker-ca/%s" .Values.worker.customCa.key | quote }}
{{- end }}
{{- end -}}

{{/* How runs get what the API asks for. */}}
{{- define "worker-chart.run-credentials-env" -}}
{{- $api := index .Values.worker (include "worker-chart.api-block" .) -}}
{{- $propagation := include "worker-chart.key-propagation" . -}}
{{- if eq $propagation "secretRef" }}
- name: PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_NAME
  value: {{ $api.apiKeySecret.name | quote }}
- name: PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_KEY
  value: {{ $api.apiKeySecret.key | quote }}
{{- else if eq $propagation "autoSecret" }}
- name: PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_SECRET_FOR_API_KEY
  value: "true"
{{- end }}
{{- $auth := .Values.worker.selfHostedServerApiConfig.basicAuth }}
{{- if and $auth.enabled $auth.existingSecret }}
- name: PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_NAME
  value: {{ $auth.existingSecret | quote }}
- name: PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_KEY
  value: auth-string
{{- end }}
{{- end -}}
