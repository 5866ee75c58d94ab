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
app.kubernetes.io/name: {{ include "quire.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "quire.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
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

{{- /* Not empty where one node at a time can mount the packages. */ -}}
{{- define "quire.oneNode" -}}
{{- if and (ne .Values.storage.kind "bucket") (not (has "ReadWriteMany" .Values.persistence.accessModes)) -}}
true
{{- end -}}
{{- end -}}

{{- /* The prefix of every address, begun by a slash and ended without one; nothing for none. */ -}}
{{- define "quire.prefix" -}}
{{- with trimAll "/" .Values.baseUrl -}}/{{ . }}{{- end -}}
{{- end -}}

{{- /* Backups are made by pods of another name, which the Service does not select. */ -}}
{{- define "quire.backup.fullname" -}}
{{- printf "%s-backup" (include "quire.fullname" . | trunc 45 | trimSuffix "-") -}}
{{- end -}}

{{- define "quire.backup.selector" -}}
app.kubernetes.io/name: {{ printf "%s-backup" (include "quire.name" . | trunc 56 | trimSuffix "-") | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "quire.backup.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{ include "quire.backup.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "quire.backup.serviceAccount" -}}
{{- if .Values.backup.serviceAccount.create -}}
{{- default (include "quire.backup.fullname" .) .Values.backup.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.backup.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The affinity of the server's pods. Where one node at a time can mount the packages, an update during a backup finds no
pod of the server any more, and the one of the backup holds the volume: its node is preferred. */ -}}
{{- define "quire.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- if and .Values.backup.enabled (include "quire.oneNode" .) -}}
{{- $selector := dict "matchLabels" (include "quire.backup.selector" . | fromYaml) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $selector -}}
{{- $pods := default dict $affinity.podAffinity -}}
{{- $preferred := default list $pods.preferredDuringSchedulingIgnoredDuringExecution -}}
{{- $preferred = append $preferred (dict "weight" 100 "podAffinityTerm" $term) -}}
{{- $_ := set $pods "preferredDuringSchedulingIgnoredDuringExecution" $preferred -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- end -}}
{{- with $affinity }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- /* The restrictions of every pod and every container. */ -}}
{{- define "quire.podSecurity" -}}
runAsNonRoot: true
runAsUser: 9898
runAsGroup: 9898
fsGroup: 9898
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "quire.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "quire.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* Variables that say where the bucket is. */ -}}
{{- define "quire.bucketEnv" -}}
{{- with .Values.storage.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.storage.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .Values.storage.caSecret }}
- name: AWS_CA_BUNDLE
  value: {{ printf "/etc/quire/ca/%s" .Values.storage.caKey | quote }}
{{- end }}
{{- end -}}

{{- define "quire.caVolume" -}}
{{- if .Values.storage.caSecret }}
- name: ca
  secret:
    secretName: {{ .Values.storage.caSecret | quote }}
    defaultMode: 0440
    items:
      - key: {{ .Values.storage.caKey | quote }}
        path: {{ .Values.storage.caKey | quote }}
{{- end }}
{{- end -}}

{{- /* Connections to a bucket: names, the bucket and the service that gives credentials for it; and the addresses at
which nodes answer for a pod's identity (AWS, Azure, Google Cloud, EKS). */ -}}
{{- define "quire.bucketEgress" -}}
{{- $port := regexFind ":[0-9]+$" .Values.storage.endpoint | trimPrefix ":" | default (ternary "80" "443" (hasPrefix "http://" .Values.storage.endpoint)) | int -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
- ports:
    {{- range uniq (list 443 $port) }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
- ports:
    - port: 80
      protocol: TCP
    - port: 988
      protocol: TCP
  to:
    {{- range list "169.254.169.254/32" "169.254.169.252/32" "169.254.170.23/32" }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
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
{{- if and (include "quire.oneNode" .) (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) -}}
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
{{- if .Values.backup.enabled -}}
{{- if eq (empty .Values.backup.url) (empty .Values.backup.existingClaim) -}}
{{- fail "backup.enabled needs one place for the backups: a bucket in backup.url, or a volume claim in backup.existingClaim." -}}
{{- end -}}
{{- if and .Values.backup.url (or (eq .Values.backup.url .Values.storage.url) (hasPrefix (printf "%s/" .Values.storage.url) .Values.backup.url) (hasPrefix (printf "%s/" .Values.backup.url) .Values.storage.url)) -}}
{{- fail "backup.url is the bucket and prefix of the packages, or one of both is in the other; backups need a prefix of their own." -}}
{{- end -}}
{{- if and .Values.backup.existingClaim (ne .Values.storage.kind "bucket") (eq .Values.backup.existingClaim (include "quire.claim" .)) -}}
{{- fail "backup.existingClaim is the claim of the packages; a backup belongs on another volume." -}}
{{- end -}}
{{- if and (include "quire.oneNode" .) (has "ReadWriteOncePod" .Values.persistence.accessModes) -}}
{{- fail "backup.enabled needs a second pod on the volume, but persistence.accessModes is ReadWriteOncePod; take ReadWriteOnce." -}}
{{- end -}}
{{- end -}}
{{- /* Requests under way have 30 seconds after the draining, and the end of the process 5 more. */ -}}
{{- $grace := add .Values.drainSeconds 35 -}}
{{- if lt (int64 .Values.terminationGracePeriodSeconds) $grace -}}
{{- fail (printf "terminationGracePeriodSeconds must be at least %d: drainSeconds and 35, else requests under way are cut off." $grace) -}}
{{- end -}}
{{- end -}}
