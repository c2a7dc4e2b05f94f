{{- define "snihub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "snihub.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" }}
{{- else if contains (include "snihub.name" .) .Release.Name }}
{{- .Release.Name | trunc 56 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "snihub.name" .) | trunc 56 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "snihub.selector" -}}
app.kubernetes.io/name: {{ include "snihub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "snihub.labels" -}}
{{ include "snihub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The entries of sni.yaml: the chart's own and those where KubeFATE has them. */}}
{{- define "snihub.routes" -}}
{{- $entries := list }}
{{- $own := (.Values.route_table | default dict).sni | default list }}
{{- $kubefate := ((.Values.trafficServer | default dict).route_table | default dict).sni | default list }}
{{- range concat $own $kubefate }}
{{- $entry := omit . "tunnelRoute" }}
{{- if .tunnelRoute }}
{{- if .tunnel_route }}
{{- fail (printf "%v has both tunnelRoute and tunnel_route" .fqdn) }}
{{- end }}
{{- $_ := set $entry "tunnel_route" .tunnelRoute }}
{{- end }}
{{- include "snihub.off" $entry }}
{{- $entries = append $entries $entry }}
{{- end }}
{{- dict "sni" $entries | toYaml }}
{{- end }}

{{/* In YAML 1.1, which Helm reads, `off` is false; these are the keys of hub.yaml and sni.yaml that know the word. */}}
{{- define "snihub.off" -}}
{{- $map := . }}
{{- range $key, $value := $map }}
{{- if kindIs "map" $value }}
{{- include "snihub.off" $value }}
{{- else if and (kindIs "bool" $value) (not $value) (has $key (list "admin" "admin_listen" "dial_timeout" "half_open_timeout" "idle_timeout" "keepalive" "kind" "per_route" "per_source" "probe" "upgrade_drain" "write_stall_timeout")) }}
{{- $_ := set $map $key "off" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "snihub.settings" -}}
{{- $taken := pick .Values.settings "listen" "routes" "ops_listen" "drain" }}
{{- if $taken }}
{{- fail (printf "settings: %s is the chart's own" (keys $taken | sortAlpha | join ", ")) }}
{{- end }}
{{- $own := dict "listen" ":8443" "routes" "/etc/snihub/routes" "ops_listen" ":9100" "drain" (printf "%ds" (int .Values.drainSeconds)) }}
{{- $settings := deepCopy .Values.settings }}
{{- include "snihub.off" $settings }}
{{- merge $own $settings | toYaml }}
{{- end }}
