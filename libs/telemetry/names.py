"""Every name that leaves the platform in spans and metrics, once.

`gen_ai.*` follows OpenTelemetry's semantic conventions for generative AI; in Prometheus the dots are underscores and
the unit comes last. Everything without a convention is `headrace.*` or `headrace_*`.
"""

from __future__ import annotations

# Span attributes by OpenTelemetry's conventions.
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_CHOICES = "gen_ai.request.choice.count"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
# Nano-dollars that the customer pays.
COST = "headrace.cost_nanodollars"
# Why an answer ended before its max_tokens.
TRUNCATED = "headrace.truncated"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
RPC_SYSTEM = "rpc.system"
RPC_METHOD = "rpc.method"
RPC_PEER = "headrace.rpc.peer"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_PARTITION = "messaging.destination.partition.id"
MESSAGING_OFFSET = "messaging.kafka.offset"

# Span attributes of our own: what the explain record will hold.
TENANT = "headrace.tenant"
REQUEST_ID = "headrace.request_id"
SESSION_SOURCE = "headrace.session.source"
WORKER = "headrace.worker"
PLACED_BY = "headrace.placed_by"
# Of a call whose model was chosen for it.
TIER = "headrace.tier"
VARIANT = "headrace.variant"
CHOSEN_BY = "headrace.chosen_by"
FALLBACKS = "headrace.fallbacks"
ATTEMPTS = "headrace.attempts"
RESUMES = "headrace.resumes"
REPRODUCIBLE = "headrace.reproducible"
REPREFILL_TOKENS = "headrace.tokens.reprefill"
PREDICTED_CACHED_TOKENS = "headrace.tokens.predicted_cached"
STALE_DELTAS = "headrace.deltas.stale"
STARTED = "headrace.error.started"
MESSAGE_ATTEMPT = "headrace.message.attempt"

# Metrics by OpenTelemetry's conventions.
METRIC_TTFT = "gen_ai_server_time_to_first_token_seconds"
METRIC_TIME_PER_TOKEN = "gen_ai_server_time_per_output_token_seconds"  # noqa: S105  a metric, no password
METRIC_REQUEST_DURATION = "gen_ai_server_request_duration_seconds"
METRIC_TOKENS = "gen_ai_client_token_usage_total"

# Metrics of our own that every service has; those of one service stand in its metrics.py with this prefix.
METRIC_PREFIX = "headrace_"
METRIC_RPC_DURATION = "headrace_rpc_server_duration_seconds"
METRIC_RPC_OPEN = "headrace_rpc_server_open_calls"
METRIC_TRUNKS = "headrace_trunks"
METRIC_TRUNK_CALLS = "headrace_trunk_open_calls"
METRIC_TRUNK_QUEUED = "headrace_trunk_queued_bytes"
METRIC_TRUNK_STALL = "headrace_trunk_write_stall_seconds"
METRIC_TRUNK_BATCH = "headrace_trunk_frames_per_message"
METRIC_TRUNK_LAG = "headrace_trunk_loop_lag_seconds"
METRIC_LOOP_LAG = "headrace_event_loop_lag_seconds"
METRIC_LOG_DROPPED = "headrace_log_lines_dropped"
METRIC_SERIES_FOLDED = "headrace_metric_series_folded_total"
METRIC_BUILD = "headrace_process_info"
