{{/* The container of the worker, and the init container that brings a template into a pool. */}}

{{- define "worker-chart.container" -}}
{{- $w := .Values.worker -}}
- name: prefect-worker
  image: {{ include "worker-chart.image" . | quote }}
  imagePullPolicy: {{ $w.image.pullPolicy | quote }}
  command:
    {{- toYaml (default (list "worker") $w.command) | nindent 4 }}
  args:
    {{- include "worker-chart.args" . | nindent 4 }}
  workingDir: /home/prefect
  env:
    {{- include "worker-chart.env" . | nindent 4 }}
  {{- with include "worker-chart.env-from" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "worker-chart.endpoint-ports" . | trim }}
  ports:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with include "worker-chart.probes" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $w.lifecycle }}
  lifecycle:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "worker-chart.mounts" . | nindent 4 }}
{{- end -}}

{{/* Arguments written for `prefect worker start` are those of `worker start`. */}}
{{- define "worker-chart.args" -}}
{{- $args := default (list "start") .Values.worker.args -}}
{{- if and (not .Values.worker.command) (eq (toString (first $args)) "prefect") }}{{ $args = rest $args }}{{ end -}}
{{- if and (not .Values.worker.command) $args (eq (toString (first $args)) "worker") }}{{ $args = rest $args }}{{ end -}}
{{- if not .Values.worker.args -}}
{{- range .Values.worker.extraArgs }}{{ $args = append $args (toString .) }}{{ end -}}
{{- end -}}
{{- toYaml $args -}}
{{- end -}}

{{- define "worker-chart.env" -}}
{{- $w := .Values.worker -}}
- name: HOME
  value: /home/prefect
{{- if not $w.config.name }}
- name: WORKER_START_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
- name: PREFECT_WORKER_QUERY_SECONDS
  value: {{ $w.config.queryInterval | quote }}
- name: PREFECT_WORKER_PREFETCH_SECONDS
  value: {{ $w.config.prefetchSeconds | quote }}
- name: PREFECT_API_ENABLE_HTTP2
  value: {{ $w.config.http2 | quote }}
- name: PREFECT_DEBUG_MODE
  value: {{ $w.image.debug | quote }}
{{- with $w.clusterUid }}
- name: PREFECT_KUBERNETES_CLUSTER_UID
  value: {{ . | quote }}
{{- end }}
{{- with include "worker-chart.watched" . }}
- name: PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES
  value: {{ . | quote }}
{{- end }}
{{ include "worker-chart.api-env" . }}
{{- include "worker-chart.run-credentials-env" . }}
{{- include "worker-chart.endpoint-env" . }}
{{- with $w.extraEnvVars }}
{{ include "worker-chart.value" (dict "value" . "context" $) }}
{{- end }}
{{- end -}}

{{- define "worker-chart.env-from" -}}
{{- $w := .Values.worker -}}
{{- $maps := concat (without (list $w.extraEnvVarsCM) "") $w.extraEnvVarsCMs -}}
{{- $secrets := concat (without (list $w.extraEnvVarsSecret) "") $w.extraEnvVarsSecrets -}}
{{- if or $maps $secrets }}
envFrom:
  {{- range $maps }}
  - configMapRef:
      name: {{ tpl . $ | quote }}
  {{- end }}
  {{- range $secrets }}
  - secretRef:
      name: {{ tpl . $ | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "worker-chart.mounts" -}}
{{- $w := .Values.worker -}}
- name: scratch
  mountPath: /home/prefect
  subPath: home
- name: scratch
  mountPath: /tmp
  subPath: tmp
- name: state
  mountPath: /var/lib/worker
- name: settings
  mountPath: /etc/worker
  readOnly: true
{{- range (include "worker-chart.template-maps" . | fromYaml).maps }}
- name: {{ printf "template-%s" .folder | quote }}
  mountPath: {{ printf "/etc/worker-templates/%s" .folder | quote }}
  readOnly: true
{{- end }}
{{- with include "worker-chart.tls-mounts" . | trim }}
{{ . }}
{{- end }}
{{- with $w.extraVolumeMounts }}
{{ include "worker-chart.value" (dict "value" . "context" $) }}
{{- end }}
{{- end -}}

{{- define "worker-chart.tls-mounts" -}}
{{- if or .Values.worker.customCa.existingConfigMap .Values.worker.customCa.existingSecret }}
- name: ca
  mountPath: /etc/worker-ca
  readOnly: true
{{- end }}
{{- if .Values.worker.clientCertificate.existingSecret }}
- name: tls
  mountPath: /etc/worker-tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "worker-chart.syncs-template" -}}
{{- $w := .Values.worker -}}
{{- if and $w.initContainer.image $w.config.workPool (include "worker-chart.template-configmap" .) }}yes{{ end -}}
{{- end -}}

{{- define "worker-chart.sync-container" -}}
{{- $w := .Values.worker -}}
- name: sync-base-job-template
  image: {{ $w.initContainer.image | quote }}
  imagePullPolicy: {{ $w.image.pullPolicy | quote }}
  command: [/bin/sh, -c]
  # A pool that is not there yet is created by the worker, with the same template.
  args:
    - 'if prefect work-pool inspect "$WORK_POOL" >/dev/null; then exec prefect work-pool update "$WORK_POOL" --base-job-template /etc/worker-templates/default/baseJobTemplate.json; fi'
  workingDir: /home/prefect
  env:
    - name: HOME
      value: /home/prefect
    - name: WORK_POOL
      value: {{ $w.config.workPool | quote }}
    {{- include "worker-chart.api-env" . | nindent 4 }}
    {{- with $w.initContainer.extraEnvVars }}
    {{- include "worker-chart.value" (dict "value" . "context" $) | nindent 4 }}
    {{- end }}
  {{- with default $w.resources $w.initContainer.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.initContainer.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: scratch
      mountPath: /home/prefect
      subPath: home
    - name: scratch
      mountPath: /tmp
      subPath: tmp
    - name: template-default
      mountPath: /etc/worker-templates/default
      readOnly: true
    {{- with include "worker-chart.tls-mounts" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}
