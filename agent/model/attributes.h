// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

/// Names of what is exported. The only place that spells them, so that another version of the conventions is one
/// more table. OpenTelemetry semantic conventions 1.41 where they have a name, `inferscope.*` where they have none.
namespace inferscope::attribute {

using Name = std::string_view;

// Process
inline constexpr Name process_pid = "process.pid";
inline constexpr Name process_creation_time = "process.creation.time";
inline constexpr Name process_executable_name = "process.executable.name";
inline constexpr Name process_executable_path = "process.executable.path";
inline constexpr Name process_command = "process.command";
inline constexpr Name thread_id = "thread.id";

// HTTP and network
inline constexpr Name http_request_method = "http.request.method";
inline constexpr Name http_request_body_size = "http.request.body.size";
inline constexpr Name http_response_status_code = "http.response.status_code";
inline constexpr Name http_response_body_size = "http.response.body.size";
inline constexpr Name url_scheme = "url.scheme";
inline constexpr Name url_path = "url.path";
inline constexpr Name network_protocol_name = "network.protocol.name";
inline constexpr Name network_protocol_version = "network.protocol.version";
inline constexpr Name network_transport = "network.transport";
inline constexpr Name network_peer_address = "network.peer.address";
inline constexpr Name network_peer_port = "network.peer.port";
inline constexpr Name server_address = "server.address";
inline constexpr Name server_port = "server.port";
inline constexpr Name client_address = "client.address";
inline constexpr Name client_port = "client.port";
inline constexpr Name user_agent_original = "user_agent.original";
inline constexpr Name error_type = "error.type";

// Generative AI
inline constexpr Name gen_ai_operation_name = "gen_ai.operation.name";
inline constexpr Name gen_ai_provider_name = "gen_ai.provider.name";
inline constexpr Name gen_ai_request_model = "gen_ai.request.model";
inline constexpr Name gen_ai_request_stream = "gen_ai.request.stream";
inline constexpr Name gen_ai_request_max_tokens = "gen_ai.request.max_tokens";
inline constexpr Name gen_ai_request_temperature = "gen_ai.request.temperature";
inline constexpr Name gen_ai_request_top_p = "gen_ai.request.top_p";
inline constexpr Name gen_ai_request_top_k = "gen_ai.request.top_k";
inline constexpr Name gen_ai_request_choice_count = "gen_ai.request.choice.count";
inline constexpr Name gen_ai_request_seed = "gen_ai.request.seed";
inline constexpr Name gen_ai_request_frequency_penalty = "gen_ai.request.frequency_penalty";
inline constexpr Name gen_ai_request_presence_penalty = "gen_ai.request.presence_penalty";
inline constexpr Name gen_ai_response_id = "gen_ai.response.id";
inline constexpr Name gen_ai_response_model = "gen_ai.response.model";
inline constexpr Name gen_ai_response_finish_reasons = "gen_ai.response.finish_reasons";
inline constexpr Name gen_ai_response_time_to_first_chunk = "gen_ai.response.time_to_first_chunk";
inline constexpr Name gen_ai_usage_input_tokens = "gen_ai.usage.input_tokens";
inline constexpr Name gen_ai_usage_output_tokens = "gen_ai.usage.output_tokens";
inline constexpr Name gen_ai_usage_cache_read_input_tokens = "gen_ai.usage.cache_read.input_tokens";
inline constexpr Name gen_ai_usage_reasoning_output_tokens = "gen_ai.usage.reasoning.output_tokens";

// Our own; durations in seconds from the request's first byte
inline constexpr Name role = "inferscope.role";
inline constexpr Name outcome = "inferscope.outcome";
inline constexpr Name complete = "inferscope.complete";
inline constexpr Name lost = "inferscope.lost";
inline constexpr Name finding_ids = "inferscope.finding.ids";
inline constexpr Name dialect = "inferscope.dialect";
inline constexpr Name time_to_first_byte = "inferscope.time_to_first_byte";
inline constexpr Name time_to_first_event = "inferscope.time_to_first_event";
inline constexpr Name time_to_first_token = "inferscope.time_to_first_token";
inline constexpr Name time_per_output_token = "inferscope.time_per_output_token";
inline constexpr Name token_count_source = "inferscope.token_count_source";
inline constexpr Name token_times = "inferscope.token_times";
inline constexpr Name content_events = "inferscope.content_events";
inline constexpr Name tool_calls = "inferscope.tool_calls";
inline constexpr Name request_messages = "inferscope.request.messages";
inline constexpr Name request_tools = "inferscope.request.tools";
inline constexpr Name request_prompt_bytes = "inferscope.request.prompt_bytes";
inline constexpr Name engine_prompt_ms = "inferscope.engine.prompt_ms";
inline constexpr Name engine_prompt_tokens = "inferscope.engine.prompt_tokens";
inline constexpr Name engine_predicted_ms = "inferscope.engine.predicted_ms";
inline constexpr Name engine_predicted_tokens = "inferscope.engine.predicted_tokens";
inline constexpr Name engine_cached_tokens = "inferscope.engine.cached_tokens";

// Where its time went; times in seconds from the request's first byte, durations in seconds. Lists of one prefix go
// together.
inline constexpr Name explanation = "inferscope.explanation";
inline constexpr Name gpu_time = "inferscope.gpu.time";
inline constexpr Name gpu_attribution = "inferscope.gpu.attribution";
inline constexpr Name probe_level = "inferscope.probe_level";  // only where GPUs were seen with less detail
inline constexpr Name probe_level_threads = "inferscope.probe_level.threads";    // only where threads were not seen
inline constexpr Name explanation_complete = "inferscope.explanation.complete";  // only if it is not
inline constexpr Name cpu_time = "inferscope.cpu.time";
inline constexpr Name run_queue_delay = "inferscope.cpu.run_queue_delay";
inline constexpr Name part_kinds = "inferscope.time_parts.kind";
inline constexpr Name part_times = "inferscope.time_parts.time";
inline constexpr Name part_texts = "inferscope.time_parts.text";
inline constexpr Name step_kinds = "inferscope.steps.kind";
inline constexpr Name step_begins = "inferscope.steps.begin";
inline constexpr Name step_ends = "inferscope.steps.end";
inline constexpr Name step_members = "inferscope.steps.members";
inline constexpr Name step_gpu_times = "inferscope.steps.gpu_time";
inline constexpr Name delay_kinds = "inferscope.delays.kind";
inline constexpr Name delay_begins = "inferscope.delays.begin";
inline constexpr Name delay_ends = "inferscope.delays.end";
inline constexpr Name delay_texts = "inferscope.delays.text";
// Of one step or delay, where it stands by itself
inline constexpr Name step_kind = "inferscope.step.kind";
inline constexpr Name step_time = "inferscope.step.time";
inline constexpr Name step_size = "inferscope.step.members";
inline constexpr Name delay_time = "inferscope.delay.time";

// What the processes behind the server said, or was seen; times and durations likewise
inline constexpr Name queue_time = "inferscope.queue_time";
inline constexpr Name prefill_time = "inferscope.prefill_time";
inline constexpr Name decode_time = "inferscope.decode_time";
inline constexpr Name engine_name = "inferscope.engine.name";
inline constexpr Name engine_request_id = "inferscope.engine.request_id";
inline constexpr Name engine_requests = "inferscope.engine.requests";
inline constexpr Name engine_complete = "inferscope.engine.complete";
inline constexpr Name engine_queued = "inferscope.engine.queued";
inline constexpr Name engine_scheduled = "inferscope.engine.scheduled";
inline constexpr Name engine_first_token = "inferscope.engine.first_token";
inline constexpr Name engine_last_token = "inferscope.engine.last_token";
inline constexpr Name engine_preemptions = "inferscope.engine.preemptions";
inline constexpr Name engine_preempted = "inferscope.engine.preempted";
inline constexpr Name engine_steps = "inferscope.engine.steps";
inline constexpr Name engine_batch_mean = "inferscope.engine.batch_size.mean";
inline constexpr Name engine_batch_max = "inferscope.engine.batch_size.max";
inline constexpr Name engine_waiting_max = "inferscope.engine.waiting.max";
inline constexpr Name engine_kv_usage_max = "inferscope.engine.kv_cache_usage.max";

// Findings, decisions, effects
inline constexpr Name finding_id = "inferscope.finding.id";
inline constexpr Name finding_kind = "inferscope.finding.kind";
inline constexpr Name finding_state = "inferscope.finding.state";
inline constexpr Name finding_confidence = "inferscope.finding.confidence";
inline constexpr Name finding_value = "inferscope.finding.value";
inline constexpr Name finding_usual = "inferscope.finding.usual";
inline constexpr Name finding_ratio = "inferscope.finding.ratio";
inline constexpr Name finding_unit = "inferscope.finding.unit";
inline constexpr Name finding_evidence = "inferscope.finding.evidence";
inline constexpr Name finding_begin = "inferscope.finding.begin_unix_nano";
inline constexpr Name finding_detected = "inferscope.finding.detected_unix_nano";
inline constexpr Name finding_end = "inferscope.finding.end_unix_nano";
inline constexpr Name finding_trace_ids = "inferscope.finding.trace_ids";
inline constexpr Name finding_span_ids = "inferscope.finding.span_ids";
inline constexpr Name finding_requests = "inferscope.finding.requests";
inline constexpr Name finding_gap = "inferscope.finding.gap";
inline constexpr Name cause_kind = "inferscope.cause.kind";
inline constexpr Name cause_share = "inferscope.cause.share";
inline constexpr Name cause_text = "inferscope.cause.text";
inline constexpr Name culprit_pid = "inferscope.cause.culprit.pid";
inline constexpr Name culprit_name = "inferscope.cause.culprit.name";
inline constexpr Name culprit_cgroup = "inferscope.cause.culprit.cgroup";
inline constexpr Name decision_id = "inferscope.decision.id";
inline constexpr Name decision_verdict = "inferscope.decision.verdict";
inline constexpr Name decision_reason = "inferscope.decision.reason";
inline constexpr Name policy_name = "inferscope.policy.name";
inline constexpr Name policy_step = "inferscope.policy.step";
inline constexpr Name action_kind = "inferscope.action.kind";
inline constexpr Name action_text = "inferscope.action.text";
inline constexpr Name action_lease = "inferscope.action.lease";
inline constexpr Name target_pid = "inferscope.target.pid";
inline constexpr Name target_name = "inferscope.target.name";
inline constexpr Name target_cgroup = "inferscope.target.cgroup";
inline constexpr Name effect_id = "inferscope.effect.id";
inline constexpr Name effect_state = "inferscope.effect.state";
inline constexpr Name effect_outcome = "inferscope.effect.outcome";
inline constexpr Name effect_ended_by = "inferscope.effect.ended_by";
inline constexpr Name effect_begin = "inferscope.effect.begin_unix_nano";
inline constexpr Name effect_end = "inferscope.effect.end_unix_nano";
inline constexpr Name effect_lease_until = "inferscope.effect.lease_until_unix_nano";
inline constexpr Name effect_where = "inferscope.effect.where";
inline constexpr Name effect_earlier = "inferscope.effect.earlier";
inline constexpr Name effect_written = "inferscope.effect.written";
inline constexpr Name effect_problem = "inferscope.effect.problem";

// What the agent tells of itself: metrics, and what their points differ by
inline constexpr Name metric_processes = "inferscope.processes";
inline constexpr Name metric_probe_cost = "inferscope.probe.cost";
inline constexpr Name metric_probe_budget = "inferscope.probe.budget";
inline constexpr Name metric_probe_level = "inferscope.probe.level";
inline constexpr Name metric_probe_active = "inferscope.probe.active";
inline constexpr Name metric_stage_in = "inferscope.stage.in";
inline constexpr Name metric_stage_out = "inferscope.stage.out";
inline constexpr Name metric_stage_held = "inferscope.stage.held";
inline constexpr Name metric_stage_dropped = "inferscope.stage.dropped";
inline constexpr Name metric_kernel_count = "inferscope.kernel.count";
inline constexpr Name probe_name = "inferscope.probe.name";
inline constexpr Name probe_of = "inferscope.probe.of";
inline constexpr Name probe_state = "inferscope.probe.state";
inline constexpr Name stage_name = "inferscope.stage.name";
inline constexpr Name drop_reason = "inferscope.stage.reason";
inline constexpr Name counter_name = "inferscope.kernel.counter";

}  // namespace inferscope::attribute
