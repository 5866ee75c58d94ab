{{- /* The name of the program, which is shorter than the chart's. */ -}}
{{- define "quire.name" -}}
{{- default "quire" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "quire.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "quire.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "quire.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "quire.selector" -}}
app.kubernetes.io/name: {{ include "quire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "quire.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "quire.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "quire.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "quire.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "quire.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "quire.claim" -}}
{{- default (include "quire.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{- /* The prefix of every address, begun by a slash and ended without one; nothing for none. */ -}}
{{- define "quire.prefix" -}}
{{- with trimAll "/" .Values.baseUrl -}}/{{ . }}{{- end -}}
{{- end -}}

{{- /* Rules between values, which the schema cannot tell as clearly. */ -}}
{{- define "quire.check" -}}
{{- if and .Values.auth.disabled .Values.auth.existingSecret -}}
{{- fail "auth.disabled and auth.existingSecret exclude each other: either nothing needs a login, or the passwords are in that Secret." -}}
{{- end -}}
{{- if not (or .Values.auth.disabled .Values.readOnly) -}}
{{- if and (not (has "update" .Values.auth.authenticate)) (not .Values.auth.anonymousUploads) -}}
{{- fail "Without update in auth.authenticate uploads would need no login; add it, or set auth.anonymousUploads or readOnly." -}}
{{- end -}}
{{- if and (has "update" .Values.auth.authenticate) .Values.auth.anonymousUploads -}}
{{- fail "auth.anonymousUploads contradicts update in auth.authenticate." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled needs at least one name in ingress.hosts." -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is greater than autoscaling.maxReplicas." -}}
{{- end -}}
{{- $bucket := eq .Values.storage.kind "bucket" -}}
{{- if and $bucket (not .Values.storage.url) -}}
{{- fail "storage.kind is bucket, so storage.url needs the bucket, as in s3://acme-packages/python." -}}
{{- end -}}
{{- if not $bucket -}}
{{- range $name := list "url" "endpoint" "region" "existingSecret" "caSecret" -}}
{{- if index $.Values.storage $name -}}
{{- fail (printf "storage.%s is for a bucket; set storage.kind to bucket, or leave it out." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.storage.endpoint (not (hasPrefix "s3://" .Values.storage.url)) -}}
{{- fail "storage.endpoint is for s3:// only." -}}
{{- end -}}
{{- $shared := or $bucket (has "ReadWriteMany" .Values.persistence.accessModes) .Values.persistence.existingClaim -}}
{{- if and (not $shared) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail "Several replicas share one volume: persistence.accessModes needs ReadWriteMany, or set replicas to 1." -}}
{{- end -}}
{{- if .Values.serviceMonitor.enabled -}}
{{- if eq .Values.metrics "off" -}}
{{- fail "serviceMonitor.enabled reads the metrics, which are off; set metrics to list, open or authenticated." -}}
{{- end -}}
{{- $login := or (eq .Values.metrics "authenticated") (and (eq .Values.metrics "list") (not .Values.auth.disabled) (has "list" .Values.auth.authenticate)) -}}
{{- if and $login (not .Values.serviceMonitor.authSecret) -}}
{{- fail "The metrics need a login: name a Secret with username and password in serviceMonitor.authSecret, or set metrics to open." -}}
{{- end -}}
{{- end -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int .Values.drainSeconds) -}}
{{- fail "terminationGracePeriodSeconds must be greater than drainSeconds, else no request is finished." -}}
{{- end -}}
{{- end -}}
