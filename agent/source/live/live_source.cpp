// SPDX-License-Identifier: Apache-2.0
#include "source/live/live_source.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <iterator>
#include <optional>
#include <set>
#include <span>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "bpf/abi/wire.h"
#include "core/clock.h"
#include "core/fd.h"
#include "source/gpu_names.h"
#include "source/host_sampler.h"
#include "source/live/bpf_objects.h"
#include "source/live/disk_uses.h"
#include "source/live/gpu_driver_uses.h"
#include "source/live/gpu_memory.h"
#include "source/live/library_probes.h"
#include "source/live/map_keys.h"
#include "source/live/probe_governor.h"
#include "source/wire_decoder.h"

namespace inferscope::source {
namespace {

/// Records younger than this when a poll begins are left for the next one: a record of the other ring that belongs
/// before them may still be on its way. Half a millisecond was seen between the time of a record and its place in the
/// ring, where a virtual machine's processor was taken away in between.
constexpr Duration settle_time = std::chrono::milliseconds(2);
constexpr Duration loss_report_interval = std::chrono::seconds(1);
constexpr Duration clock_interval = std::chrono::seconds(30);
constexpr Duration clock_tolerance = std::chrono::milliseconds(1);
constexpr Duration sample_interval = std::chrono::seconds(10);

__u32 tls_flags(const TlsLibrary& library) {
  __u32 flags = 0;
  for (const TlsProbe& probe : library.probes) {
    flags |= probe.calling == Calling::c ? WIRE_TLS_LIBRARY : WIRE_TLS_GO;
    if (probe.calling == Calling::go_stack) flags |= WIRE_TLS_GO_STACK;
  }
  return flags;
}

struct RingDeleter {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};
using Ring = std::unique_ptr<ring_buffer, RingDeleter>;

}  // namespace

struct LiveSource::Impl {
  struct OpenConnection {
    std::uint64_t map_key = 0;
    Pid pid = 0;
    bool process_exited = false;
  };
  struct Record {
    Time time{};
    std::size_t begin = 0;  ///< in record_bytes
    std::size_t size = 0;
  };

  BpfObjects objects{};
  LiveOptions options{};
  OnNotice notice{};
  Ring control_ring{};
  Ring event_ring{};
  Fd epoll{};

  std::deque<Event> controls{};   ///< decided, waiting for their turn in time
  std::vector<Record> records{};  ///< of the event ring, since some may still be too young
  std::vector<std::byte> record_bytes{};
  std::unordered_map<ConnectionId, OpenConnection> connections{};
  std::set<Pid> sampled{};
  std::set<Pid> in_go{};  ///< whose calls of TLS goroutines make
  GpuNames gpu_names{};
  GpuMemoryTable gpu_memory{};
  GpuDriverUses gpu_driver_uses{};
  ProbeGovernor governor{objects};
  std::uint64_t refused = 0;

  std::optional<Time> noticed{};      ///< during a notice: what is decided there counts from then on
  const Emit<Event>* emit = nullptr;  ///< during poll
  Time settled{};                     ///< what is older has been emitted, in order

  Time next_loss_report{};
  Time next_clock{};
  Time next_sample_refill{};
  Time next_host_sample{};
  HostSampler host{};
  DiskUses disks{};
  std::int64_t clock_offset = 0;
  LiveCounters reported{};

  Status start();
  Status set_target(Pid pid, wire_target_state state);
  void write_settings();
  void forget_measurement();
  [[nodiscard]] LiveCounters read_counters() const {
    LiveCounters counters = source::read_counters(objects.map_fd("counters"));
    counters.records_refused = refused;
    return counters;
  }

  void drain_controls();
  void drain_events();
  void take_control(std::span<const std::byte> record);
  void take_exit(const ProcessExited& exited, Time time);
  void forget_goroutines(Pid pid);
  void take_close(ConnectionClosed closed, Time time);
  void take_event(std::span<const std::byte> bytes);
  [[nodiscard]] std::span<const std::byte> bytes_of(const Record& record) const {
    return std::span(record_bytes).subspan(record.begin, record.size);
  }
  void forget_records(std::vector<Record>::iterator until);
  void emit_record(const Record& record);
  void emit_controls_until(Time time);
  void refill_samples(Time now);
  void report_losses(Time now);
  void report_clock(Time now);
  void sample_host(Time now);
  void set_wish(ConnectionId connection, const std::function<void(wire_wish&)>& change) const;
};

Status LiveSource::Impl::start() {
  if (auto status = objects.load(options); !status) return status;
  write_settings();
  for (std::uint32_t i = 0; i < WIRE_PATHS_MAX && i < options.inference_paths.size(); ++i) {
    wire_path path{};
    path.size = static_cast<__u32>(std::min<std::size_t>(options.inference_paths[i].size(), WIRE_PATH_MAX));
    std::memcpy(path.bytes, options.inference_paths[i].data(), path.size);
    bpf_map_update_elem(objects.map_fd("paths"), &i, &path, BPF_ANY);
  }
  const auto on_control = [](void* self, void* data, size_t size) {
    static_cast<Impl*>(self)->take_control({static_cast<const std::byte*>(data), size});
    return 0;
  };
  const auto on_event = [](void* self, void* data, size_t size) {
    static_cast<Impl*>(self)->take_event({static_cast<const std::byte*>(data), size});
    return 0;
  };
  control_ring.reset(ring_buffer__new(objects.map_fd("controls"), on_control, this, nullptr));
  event_ring.reset(ring_buffer__new(objects.map_fd("events"), on_event, this, nullptr));
  epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
  // Edge-triggered: the kernel side wakes us when the ring fills, not for each record.
  epoll_event interest{.events = EPOLLIN | EPOLLET, .data = {}};
  if (!control_ring || !event_ring || !epoll ||
      epoll_ctl(epoll.get(), EPOLL_CTL_ADD, objects.map_fd("events"), &interest) != 0)
    return Error{fmt::format("cannot read the rings: {}", strerror(errno))};
  if (auto status = set_target(getpid(), WIRE_TARGET_IGNORED); !status) return status;
  gpu_memory.use(objects.map_fd("gpu_memory"), objects.map_fd("gpu_allocations"));
  gpu_driver_uses.use(options.devices_file, objects.map_fd("gpu_devices"), objects.map_fd("gpu_driver_uses"),
                      objects.map_fd("gpu_driver_told"), objects.map_fd("gpu_job_sums"));
  objects.attach();
  governor.use(options.overhead_budget);
  forget_measurement();
  clock_offset = unix_minus_kernel_now_ns();
  controls.push_back({kernel_now(), ClockSet{clock_offset}});
  next_clock = kernel_now() + clock_interval;
  return success();
}

/// Of what the governor watched to measure it: events are of nobody else yet.
void LiveSource::Impl::forget_measurement() {
  ring_buffer__consume(event_ring.get());
  records.clear();
  record_bytes.clear();
  reset_counters(objects.map_fd("counters"));
}

void LiveSource::Impl::write_settings() {
  const wire_settings settings{
      .head_limit = std::min<__u32>(options.transfer_head_bytes, WIRE_HEAD_MAX),
      .tail_limit = std::min<__u32>(options.transfer_tail_bytes, WIRE_TAIL_MAX),
      .message_budget = options.message_budget_bytes,
      .wake_bytes = options.event_ring_bytes / 4,
      .sample_budget = options.sample_reads,
      .path_count = static_cast<__u32>(options.inference_paths.size()),
      .run_budget = options.thread_runs,
      .disk_generation = disks.generation(),
      .gpu_one_of = options.gpu_one_of,
  };
  const __u32 zero = 0;
  bpf_map_update_elem(objects.map_fd("settings"), &zero, &settings, BPF_ANY);
}

Status LiveSource::Impl::set_target(Pid pid, wire_target_state state) {
  const auto key = static_cast<__u32>(pid);
  wire_target target{};
  target.state = static_cast<__u32>(state);
  target.sample_budget = options.sample_reads;
  if (bpf_map_update_elem(objects.map_fd("targets"), &key, &target, BPF_ANY) != 0)
    return Error{fmt::format("process {} cannot be watched: {}", pid, strerror(errno)),
                 "the table of watched processes may be full; exclude some in the configuration"};
  return success();
}

void LiveSource::Impl::take_control(std::span<const std::byte> record) {
  const auto decoded = decode(record);
  if (!decoded) {
    ++refused;
    return;
  }
  const Time time = decoded->time;
  if (const auto* seen = std::get_if<ProcessNotice>(&decoded->body)) {
    noticed = time;
    if (notice) notice(*seen);
    noticed.reset();
  } else if (const auto* exited = std::get_if<DecodedExit>(&decoded->body)) {
    take_exit(exited->event, time);
  } else if (const auto* open = std::get_if<DecodedOpen>(&decoded->body)) {
    const Connection& connection = open->event.connection;
    if (connection.pid == getpid()) {  // of the measurement
      bpf_map_delete_elem(objects.map_fd("conns"), &open->map_key);
      return;
    }
    connections[connection.id] = {open->map_key, connection.pid, false};
    controls.push_back({time, open->event});
  } else if (const auto* half = std::get_if<ConnectionHalfClosed>(&decoded->body)) {
    controls.push_back({time, *half});
  } else if (const auto* closed = std::get_if<ConnectionClosed>(&decoded->body)) {
    take_close(*closed, time);
  }
}

/// Calls that goroutines of it were in: nobody knows their ends, and their addresses may be others' soon.
void LiveSource::Impl::forget_goroutines(Pid pid) {
  if (in_go.erase(pid) == 0) return;
  const int calls = objects.map_fd("tls_calls");
  std::vector<wire_caller> ended;
  each_key<wire_caller>(calls, std::size_t{2} * WIRE_TLS_CALLS, [&](const wire_caller& caller) {
    if (caller.tgid == static_cast<__u64>(pid)) ended.push_back(caller);
  });
  for (const wire_caller& one : ended) bpf_map_delete_elem(calls, &one);
}

/// The sockets of a process that ended are closed by the kernel later, without a system call that we could see.
void LiveSource::Impl::take_exit(const ProcessExited& exited, Time time) {
  sampled.erase(exited.pid);
  host.forget(exited.pid);
  disks.forget(objects.map_fd("disk_uses"), exited.pid);
  objects.detach(exited.pid);
  forget_goroutines(exited.pid);
  gpu_names.forget(exited.pid);
  gpu_memory.forget(exited.pid);
  governor.forget(exited.pid);
  gpu_driver_uses.forget(exited.pid);
  const int conns = objects.map_fd("conns");
  for (auto it = connections.begin(); it != connections.end();) {
    auto& [id, open] = *it;
    wire_conn conn{};
    if (open.pid != exited.pid) {
      ++it;
    } else if (bpf_map_lookup_elem(conns, &open.map_key, &conn) == 0 && conn.id == id) {
      bpf_map_delete_elem(conns, &open.map_key);
      bpf_map_delete_elem(objects.map_fd("wishes"), &open.map_key);
      controls.push_back({time, ConnectionClosed{.id = id,
                                                 .reason = ConnectionClosed::Reason::process_exited,
                                                 .received_bytes = conn.streams[0].position,
                                                 .sent_bytes = conn.streams[1].position,
                                                 .received_transfers = conn.streams[0].sequence,
                                                 .sent_transfers = conn.streams[1].sequence}});
      it = connections.erase(it);
    } else {
      open.process_exited = true;  // its close record is behind this one in the ring
      ++it;
    }
  }
  controls.push_back({time, exited});
}

void LiveSource::Impl::take_close(ConnectionClosed closed, Time time) {
  const auto found = connections.find(closed.id);
  if (found == connections.end()) return;  // told already, when its process ended
  if (found->second.process_exited) closed.reason = ConnectionClosed::Reason::process_exited;
  bpf_map_delete_elem(objects.map_fd("wishes"), &found->second.map_key);
  connections.erase(found);
  controls.push_back({time, closed});
}

void LiveSource::Impl::emit_controls_until(Time time) {
  while (!controls.empty() && controls.front().time <= time) {
    (*emit)(controls.front());
    controls.pop_front();
  }
}

/// Processors write to the ring at the same time, so its records are nearly, but not quite in order of time: they are
/// kept until all that belong before them are here.
void LiveSource::Impl::take_event(std::span<const std::byte> bytes) {
  const auto time = time_of(bytes);
  if (!time) {
    ++refused;
    return;
  }
  records.push_back({*time, record_bytes.size(), bytes.size()});
  record_bytes.insert(record_bytes.end(), bytes.begin(), bytes.end());
}

/// Of those that stay for the next time, the bytes begin anew.
void LiveSource::Impl::forget_records(std::vector<Record>::iterator until) {
  records.erase(records.begin(), until);
  std::vector<std::byte> left;
  for (Record& record : records) {
    const auto bytes = bytes_of(record);
    record.begin = left.size();
    left.insert(left.end(), bytes.begin(), bytes.end());
  }
  record_bytes.assign(left.begin(), left.end());
}

void LiveSource::Impl::emit_record(const Record& record) {
  const auto decoded = decode(bytes_of(record));
  if (!decoded) {
    ++refused;
    return;
  }
  std::visit(
      [&](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, ProcessNotice> || std::is_same_v<Body, DecodedExit> ||
                      std::is_same_v<Body, DecodedOpen>) {
          ++refused;  // these come in the other ring
        } else if constexpr (std::is_same_v<Body, DecodedGpuName>) {
          gpu_names.learn(body);
        } else if constexpr (std::is_same_v<Body, DecodedGpuCall> || std::is_same_v<Body, DecodedGpuFailure>) {
          (*emit)({record.time, gpu_names.named(body)});
        } else {
          if constexpr (std::is_same_v<Body, Transfer>)
            if (const auto found = connections.find(body.connection); found != connections.end())
              found->second.pid = body.pid;  // a child may serve what its parent accepted
          (*emit)({record.time, body});
        }
      },
      decoded->body);
}

void LiveSource::Impl::drain_controls() {
  ring_buffer__consume(control_ring.get());
  std::stable_sort(controls.begin(), controls.end(), [](const Event& a, const Event& b) { return a.time < b.time; });
}

void LiveSource::Impl::drain_events() {
  ring_buffer__consume(event_ring.get());
  const auto earlier = [](const Record& a, const Record& b) { return a.time < b.time; };
  if (!std::is_sorted(records.begin(), records.end(), earlier))
    std::stable_sort(records.begin(), records.end(), earlier);
  auto record = records.begin();
  for (; record != records.end() && record->time <= settled; ++record) {
    emit_controls_until(record->time);
    emit_record(*record);
  }
  forget_records(record);
  emit_controls_until(settled);
}

void LiveSource::Impl::refill_samples(Time now) {
  if (now < next_sample_refill) return;
  next_sample_refill = now + sample_interval;
  for (auto it = sampled.begin(); it != sampled.end();) {
    const auto key = static_cast<__u32>(*it);
    wire_target target{};
    const bool exists = bpf_map_lookup_elem(objects.map_fd("targets"), &key, &target) == 0;
    if (exists && target.state == WIRE_TARGET_SAMPLED && target.sample_budget == 0)
      (void)set_target(*it, WIRE_TARGET_SAMPLED);
    it = exists ? std::next(it) : sampled.erase(it);  // the kernel side forgets a process when it exits
  }
}

void LiveSource::Impl::report_losses(Time now) {
  if (now < next_loss_report) return;
  next_loss_report = now + loss_report_interval;
  const LiveCounters counters = read_counters();
  const auto report = [&](const char* reason, std::uint64_t LiveCounters::*counter) {
    if (counters.*counter > reported.*counter)
      (*emit)({now, EventsLost{reason, counters.*counter - reported.*counter}});
  };
  report("event ring full", &LiveCounters::transfers_lost);
  report("table of threads that use GPUs full", &LiveCounters::gpu_threads_full);
  report("table of GPU memory full", &LiveCounters::gpu_memory_full);
  report("table of jobs of GPUs full", &LiveCounters::gpu_jobs_full);
  report("control ring full", &LiveCounters::controls_lost);
  report("connection table full", &LiveCounters::transfers_without_connection);
  report("table of calls in progress full", &LiveCounters::calls_full);
  report("target table full", &LiveCounters::targets_full);
  report("event ring full, of what threads, GPUs and the network did", &LiveCounters::details_lost);
  report("table of threads full", &LiveCounters::threads_full);
  report("table of threads that look for memory full", &LiveCounters::reclaims_full);
  report("table of what disks do full", &LiveCounters::disks_full);
  report("record refused", &LiveCounters::records_refused);
  reported = counters;
}

void LiveSource::Impl::report_clock(Time now) {
  if (now < next_clock) return;
  next_clock = now + clock_interval;
  const std::int64_t offset = unix_minus_kernel_now_ns();
  if (std::abs(offset - clock_offset) < clock_tolerance.count()) return;
  clock_offset = offset;
  (*emit)({now, ClockSet{offset}});
}

void LiveSource::Impl::sample_host(Time now) {
  if (options.host_sample_interval <= Duration::zero() || now < next_host_sample) return;
  next_host_sample = now + options.host_sample_interval;
  std::set<Pid> busy;
  for (const auto& [id, open] : connections) busy.insert(open.pid);
  host.sample(now, busy, *emit);
  disks.begin_generation();
  write_settings();
  disks.read(objects.map_fd("disk_uses"), now, *emit);
  gpu_memory.sample(now, *emit);
  gpu_driver_uses.sample(now, *emit);
}

void LiveSource::Impl::set_wish(ConnectionId connection, const std::function<void(wire_wish&)>& change) const {
  const auto found = connections.find(connection);
  if (found == connections.end()) return;
  const int wishes = objects.map_fd("wishes");
  wire_wish wish{};
  if (bpf_map_lookup_elem(wishes, &found->second.map_key, &wish) != 0 || wish.conn != connection) wish = {};
  wish.conn = connection;
  change(wish);
  bpf_map_update_elem(wishes, &found->second.map_key, &wish, BPF_ANY);
}

Result<std::unique_ptr<LiveSource>> LiveSource::open(const LiveOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  if (auto status = impl->start(); !status) return status.error();
  return std::unique_ptr<LiveSource>(new LiveSource(std::move(impl)));
}

LiveSource::LiveSource(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LiveSource::~LiveSource() = default;

void LiveSource::on_notice(OnNotice callback) {
  impl_->notice = std::move(callback);
}

Status LiveSource::watch(const ProcessStarted& process) {
  impl_->sampled.erase(process.pid);
  impl_->objects.detach(process.pid);  // those of the program that it ran before
  impl_->forget_goroutines(process.pid);
  impl_->gpu_names.forget(process.pid);
  impl_->gpu_memory.forget(process.pid);
  impl_->governor.forget(process.pid);
  impl_->gpu_driver_uses.look_for_devices();
  if (auto status = impl_->set_target(process.pid, WIRE_TARGET_WATCHED); !status) return status;
  impl_->host.follow(process.pid);
  impl_->governor.follow(process.pid);
  impl_->controls.push_back({impl_->noticed.value_or(kernel_now()), process});
  return success();
}

Status LiveSource::sample(Pid pid) {
  impl_->sampled.insert(pid);
  return impl_->set_target(pid, WIRE_TARGET_SAMPLED);
}

Status LiveSource::ignore(Pid pid) {
  impl_->sampled.erase(pid);
  return impl_->set_target(pid, WIRE_TARGET_IGNORED);
}

Status LiveSource::watch(const TlsLibrary& library) {
  const auto key = static_cast<__u32>(library.pid);
  wire_target target{};
  const int targets = impl_->objects.map_fd("targets");
  if (bpf_map_lookup_elem(targets, &key, &target) != 0) return success();  // gone
  const __u32 before = std::exchange(target.tls, target.tls | tls_flags(library));
  // The flag first: what moves inside a call whose plaintext is told must not be told as well.
  bpf_map_update_elem(targets, &key, &target, BPF_EXIST);
  if ((target.tls & WIRE_TLS_GO) != 0) impl_->in_go.insert(library.pid);
  auto status = impl_->objects.attach("tls", probes_of(library));
  target.tls = before;
  if (!status) bpf_map_update_elem(targets, &key, &target, BPF_EXIST);
  return status;
}

Status LiveSource::watch(const GpuLibrary& library) {
  const auto key = static_cast<__u32>(library.pid);
  wire_target target{};
  const int targets = impl_->objects.map_fd("targets");
  if (bpf_map_lookup_elem(targets, &key, &target) != 0) return success();  // gone
  for (const GpuProbe& probe : library.probes) impl_->gpu_names.add_function(probe.number, probe.symbol);
  if (auto status = impl_->governor.attach(library); !status) return status;
  constexpr unsigned inner = 31;
  target.gpu |= 1u << (library.rank == 0 ? static_cast<unsigned>(library.api) : inner);
  bpf_map_update_elem(targets, &key, &target, BPF_EXIST);
  impl_->gpu_memory.follow(library.pid);
  return success();
}

Status LiveSource::poll(Duration timeout, const Emit<Event>& emit) {
  Impl& self = *impl_;
  epoll_event woken{};
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  if (epoll_wait(self.epoll.get(), &woken, 1, static_cast<int>(milliseconds)) < 0 && errno != EINTR)
    return Error{fmt::format("waiting for the kernel failed: {}", strerror(errno))};
  self.emit = &emit;
  self.settled = kernel_now() - settle_time;
  self.drain_controls();
  self.drain_events();
  // What we add ourselves takes its place behind what was emitted, and before what is still to come.
  self.refill_samples(self.settled);
  self.report_losses(self.settled);
  self.report_clock(self.settled);
  self.sample_host(self.settled);
  self.governor.look(self.settled, emit);
  self.emit = nullptr;
  return success();
}

std::int64_t LiveSource::unix_minus_kernel_ns() const {
  return impl_->clock_offset;
}
Time LiveSource::settled() const {
  return impl_->settled;
}

Time LiveSource::now() const {
  return kernel_now();
}

void LiveSource::stop_payload(ConnectionId connection) {
  impl_->set_wish(connection, [](wire_wish& wish) { wish.no_payload = 1; });
}

void LiveSource::capture_from(ConnectionId connection, Direction direction, std::uint64_t position) {
  impl_->set_wish(connection, [&](wire_wish& wish) { wish.capture_from[index_of(direction)] = position; });
}

Status LiveSource::set_limits(std::uint32_t head_bytes, std::uint32_t tail_bytes, std::uint64_t message_budget_bytes) {
  if (head_bytes > WIRE_HEAD_MAX || tail_bytes > WIRE_TAIL_MAX)
    return Error{fmt::format("at most {} bytes of head and {} of tail can be captured per transfer", WIRE_HEAD_MAX,
                             WIRE_TAIL_MAX),
                 {},
                 Error::Kind::usage};
  impl_->options.transfer_head_bytes = head_bytes;
  impl_->options.transfer_tail_bytes = tail_bytes;
  impl_->options.message_budget_bytes = message_budget_bytes;
  impl_->write_settings();
  return success();
}

std::vector<Capability> LiveSource::capabilities() const {
  return impl_->objects.capabilities();
}
LiveCounters LiveSource::counters() const {
  return impl_->read_counters();
}
std::vector<ProbeUse> LiveSource::probe_uses() const {
  return impl_->governor.uses();
}
std::vector<ProgramCost> LiveSource::program_costs() const {
  return impl_->objects.program_costs();
}

}  // namespace inferscope::source
