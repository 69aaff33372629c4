{{/* Base job templates: for which pools there are some, and where they come from. */}}

{{/* The ConfigMap with the template of `config.baseJobTemplate`, if there is one. */}}
{{- define "worker-chart.template-configmap" -}}
{{- $template := .Values.worker.config.baseJobTemplate -}}
{{- if $template.configuration -}}
{{- default "prefect-worker-base-job-template" $template.name -}}
{{- else -}}
{{- $template.existingConfigMapName -}}
{{- end -}}
{{- end -}}

{{- define "worker-chart.pool-template-configmap" -}}
{{- $template := .pool.baseJobTemplate -}}
{{- if $template.configuration -}}
{{- printf "%s-template-%d" (include "worker-chart.fullname" .root) (int .index) -}}
{{- else -}}
{{- required (printf "worker.pools: the baseJobTemplate of pool %q needs `configuration` or `existingConfigMapName`" .pool.name) $template.existingConfigMapName -}}
{{- end -}}
{{- end -}}

{{/* A template as JSON text, refused if it is none. */}}
{{- define "worker-chart.template-json" -}}
{{- $text := .value -}}
{{- if not (kindIs "string" $text) }}{{ $text = toJson $text }}{{ end -}}
{{- $read := fromJson $text -}}
{{- if hasKey $read "Error" }}{{ fail (printf "%s is not a JSON object: %s" .what (index $read "Error")) }}{{ end -}}
{{- range list "job_configuration" "variables" -}}
{{- if not (hasKey $read .) }}{{ fail (printf "%s has no %q, which a base job template needs" $.what .) }}{{ end -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* The volumes with templates, as a list under `maps` of folder and ConfigMap. */}}
{{- define "worker-chart.template-maps" -}}
{{- $maps := list -}}
{{- with include "worker-chart.template-configmap" . }}{{ $maps = append $maps (dict "folder" "default" "name" .) }}{{ end -}}
{{- range $index, $pool := (include "worker-chart.pools" . | fromYaml).pools -}}
{{- if $pool.baseJobTemplate -}}
{{- $name := include "worker-chart.pool-template-configmap" (dict "root" $ "pool" $pool "index" $index) -}}
{{- $maps = append $maps (dict "folder" (toString $index) "name" $name) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "maps" $maps) -}}
{{- end -}}
