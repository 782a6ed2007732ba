{{/* Labels of everything; the argument is a list of the context and the component. */}}
{{- define "posthaste.labels" -}}
{{ include "posthaste.selector" . }}
app.kubernetes.io/part-of: posthaste
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{- define "posthaste.selector" -}}
app.kubernetes.io/name: posthaste
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The image of a program. */}}
{{- define "posthaste.image" -}}
{{- $context := index . 0 -}}
{{ $context.Values.image.registry }}{{ index . 1 }}:{{ $context.Values.image.tag | default $context.Chart.AppVersion }}
{{- end }}

{{- define "posthaste.secret" -}}
{{ .Values.secret | default .Release.Name }}
{{- end }}

{{/* A variable from the secret: context, name, key, whether it may be missing. */}}
{{- define "posthaste.fromSecret" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "posthaste.secret" (index . 0) }}
      key: {{ index . 2 }}
      {{- if index . 3 }}
      optional: true
      {{- end }}
{{- end }}

{{- define "posthaste.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "posthaste.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A deployment: context, component, port, port of the metrics, grace period, replicas (or null), variables beside the database, seconds before a
stop. */}}
{{- define "posthaste.deployment" -}}
{{- $context := index . 0 }}{{ $component := index . 1 }}{{ $port := index . 2 }}{{ $metrics := index . 3 }}
{{- $values := index $context.Values $component }}{{ $before := index . 7 }}
{{- $key := get (dict "api" "DATABASE_URL" "scheduler" "OWNER_DATABASE_URL" "deliverer" "DELIVERER_DATABASE_URL") $component }}
{{- $database := include "posthaste.fromSecret" (list $context "DATABASE_URL" $key false) }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $context.Release.Name }}-{{ $component }}
  labels:
    {{- include "posthaste.labels" (list $context $component) | nindent 4 }}
spec:
  {{- if index . 5 }}
  replicas: {{ index . 5 }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "posthaste.selector" (list $context $component) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "posthaste.labels" (list $context $component) | nindent 8 }}
      annotations:
        # New settings bring new pods.
        checksum/settings: {{ $context.Values.settings | toYaml | sha256sum }}
        {{- if not $context.Values.podMonitor.enabled }}
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ $metrics | quote }}
        prometheus.io/path: /metrics
        {{- end }}
    spec:
      serviceAccountName: {{ $context.Release.Name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ index . 4 }}
      {{- with $context.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      securityContext:
        {{- include "posthaste.podSecurity" $context | nindent 8 }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "posthaste.selector" (list $context $component) | nindent 14 }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      initContainers:
        # A pod of a new version does not start before the schema serves it.
        - name: wait-for-schema
          image: {{ include "posthaste.image" (list $context "posthaste") }}
          imagePullPolicy: {{ $context.Values.image.pullPolicy }}
          args: [migrate, --wait]
          env:
            {{- $database | nindent 12 }}
          resources:
            requests: {cpu: 10m, memory: 16Mi}
            limits: {cpu: 500m, memory: 64Mi}
          securityContext:
            {{- include "posthaste.containerSecurity" $context | nindent 12 }}
      containers:
        - name: {{ $component }}
          image: {{ include "posthaste.image" (list $context (printf "posthaste-%s" $component)) }}
          imagePullPolicy: {{ $context.Values.image.pullPolicy }}
          envFrom:
            - configMapRef:
                name: {{ $context.Release.Name }}
          env:
            {{- $database | nindent 12 }}
            {{- index . 6 | nindent 12 }}
            - name: PORT
              value: {{ $port | quote }}
            {{- range $name, $value := $values.env }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
          ports:
            - name: http
              containerPort: {{ $port }}
            {{- if ne $port $metrics }}
            - name: metrics
              containerPort: {{ $metrics }}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 2
            failureThreshold: 60
          # Whether it can serve now.
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          # Whether a thread is stuck. It says nothing about Postgres: a restart would not bring that back.
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          {{- if $before }}
          lifecycle:
            preStop:
              # Until every load balancer has heard that this pod ends, requests still come.
              sleep:
                seconds: {{ $before }}
          {{- end }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "posthaste.containerSecurity" $context | nindent 12 }}
{{- end }}
