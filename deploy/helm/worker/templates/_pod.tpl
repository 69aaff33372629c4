{{/* The pod of a worker, the same in a Deployment and a StatefulSet. */}}

{{- define "worker-chart.pod" -}}
{{- $w := .Values.worker -}}
metadata:
  labels:
    {{- include "worker-chart.labels" . | nindent 4 }}
    {{- include "worker-chart.workload-label" . | nindent 4 }}
    {{- with $w.podLabels }}
    {{- include "worker-chart.value" (dict "value" . "context" $) | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "worker-chart.checksum" . }}
    {{- if not (kindIs "invalid" $w.safeToEvict) }}
    cluster-autoscaler.kubernetes.io/safe-to-evict: {{ $w.safeToEvict | quote }}
    {{- end }}
    {{- with $w.podAnnotations }}
    {{- include "worker-chart.value" (dict "value" . "context" $) | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "worker-chart.serviceAccount" . | quote }}
  automountServiceAccountToken: {{ $w.automountServiceAccountToken }}
  terminationGracePeriodSeconds: {{ include "worker-chart.termination-grace" . }}
  {{- with $w.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $w.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with include "worker-chart.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if or (include "worker-chart.syncs-template" .) $w.initContainer.extraContainers }}
  initContainers:
    {{- if include "worker-chart.syncs-template" . }}
    {{- include "worker-chart.sync-container" . | nindent 4 }}
    {{- end }}
    {{- with $w.initContainer.extraContainers }}
    {{- include "worker-chart.value" (dict "value" . "context" $) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- include "worker-chart.container" . | nindent 4 }}
    {{- with $w.extraContainers }}
    {{- include "worker-chart.value" (dict "value" . "context" $) | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "worker-chart.volumes" . | nindent 4 }}
{{- end -}}

{{/* A change of what the worker reads at its start replaces the pods. */}}
{{- define "worker-chart.checksum" -}}
{{- printf "%s%s%s" (include "worker-chart.toml-file" .) (toJson .Values.worker.config.baseJobTemplate) (toJson .Values.worker.pools) | sha256sum -}}
{{- end -}}

{{/* Where the pod runs, and its network. */}}
{{- define "worker-chart.placement" -}}
{{- $w := .Values.worker -}}
{{- range $key := list "affinity" "nodeSelector" "tolerations" "topologySpreadConstraints" }}
{{- with index $w $key }}
{{ $key }}:
  {{- include "worker-chart.value" (dict "value" . "context" $) | nindent 2 }}
{{- end }}
{{- end }}
{{- with $w.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- if $w.hostNetwork }}
hostNetwork: true
{{- end }}
{{- with $w.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default (ternary "ClusterFirstWithHostNet" "" $w.hostNetwork) $w.dnsPolicy }}
dnsPolicy: {{ . | quote }}
{{- end }}
{{- $dns := default dict $w.dnsConfig }}
{{- if or $dns.nameservers $dns.searches $dns.options }}
dnsConfig:
  {{- range $key := list "nameservers" "searches" "options" }}
  {{- with index $dns $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "worker-chart.volumes" -}}
{{- $w := .Values.worker -}}
- name: scratch
  emptyDir: {}
- name: settings
  configMap:
    name: {{ include "worker-chart.settings-name" . | quote }}
{{- if eq $w.kind "Deployment" }}
- name: state
  {{- if $w.state.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ $w.state.existingClaim | quote }}
  {{- else if $w.state.emptyDirSizeLimit }}
  emptyDir:
    sizeLimit: {{ $w.state.emptyDirSizeLimit | quote }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- range (include "worker-chart.template-maps" . | fromYaml).maps }}
- name: {{ printf "template-%s" .folder | quote }}
  configMap:
    name: {{ .name | quote }}
{{- end }}
{{- with $w.customCa.existingConfigMap }}
- name: ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- with $w.customCa.existingSecret }}
- name: ca
  secret:
    secretName: {{ . | quote }}
{{- end }}
{{- with $w.clientCertificate.existingSecret }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with $w.extraVolumes }}
{{ include "worker-chart.value" (dict "value" . "context" $) }}
{{- end }}
{{- end -}}
