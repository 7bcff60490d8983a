// SPDX-License-Identifier: Apache-2.0
#include "web/api_server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <list>
#include <system_error>
#include <thread>
#include <utility>

#include "core/fd.h"

namespace inferscope::web {
namespace {

constexpr timeval feed_interval{.tv_sec = 0, .tv_usec = 100'000};
constexpr std::size_t reader_backlog_limit = 4u << 20;  // a reader that does not read is let go

struct BufferDeleter {
  void operator()(evbuffer* buffer) const { evbuffer_free(buffer); }
};
using Buffer = std::unique_ptr<evbuffer, BufferDeleter>;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return Error{fmt::format("'{}' is no possible path of a socket", path),
                 fmt::format("set api.socket to a path of at most {} bytes", sizeof(address.sun_path) - 1),
                 Error::Kind::usage};
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool somebody_serves(const sockaddr_un& address) {
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe && connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

ApiRequest request_of(evhttp_request* raw) {
  ApiRequest request;
  const evhttp_uri* uri = evhttp_request_get_evhttp_uri(raw);
  if (const char* path = evhttp_uri_get_path(uri)) request.path = path;
  if (const char* query = evhttp_uri_get_query(uri)) {
    evkeyvalq pairs{};
    if (evhttp_parse_query_str(query, &pairs) == 0)
      for (const evkeyval* pair = pairs.tqh_first; pair; pair = pair->next.tqe_next)
        request.query[pair->key] = pair->value;
    evhttp_clear_headers(&pairs);
  }
  return request;
}

}  // namespace

std::string ApiRequest::get(const std::string& key, const std::string& otherwise) const {
  const auto found = query.find(key);
  return found == query.end() ? otherwise : found->second;
}

struct ApiServer::Impl {
  struct Reader {
    Impl* server = nullptr;
    evhttp_request* raw = nullptr;
    ApiRequest request{};
    const ApiFeed* feed = nullptr;
    std::uint64_t cursor = 0;
    event* timer = nullptr;
  };

  std::map<std::string, ApiHandler> handlers{};
  std::map<std::string, ApiHandler> post_handlers{};
  std::map<std::string, ApiFeed> feeds{};
  std::string socket_path{};
  event_base* base = nullptr;
  evhttp* http = nullptr;
  std::thread thread{};
  std::list<Reader> readers{};

  void answer(evhttp_request* raw);
  void begin_feed(evhttp_request* raw, ApiRequest request, const ApiFeed& feed);
  void push(Reader& reader);
  void forget(Reader& reader);
};

void ApiServer::Impl::answer(evhttp_request* raw) {
  ApiRequest request = request_of(raw);
  if (const auto feed = feeds.find(request.path); feed != feeds.end() && request.get("follow") == "1") {
    begin_feed(raw, std::move(request), feed->second);
    return;
  }
  const bool post = evhttp_request_get_command(raw) == EVHTTP_REQ_POST;
  const auto& answers = post ? post_handlers : handlers;
  const auto handler = answers.find(request.path);
  const bool other_method = (post ? handlers : post_handlers).contains(request.path);
  ApiReply reply{.status = 404, .body = "{\"error\":\"no such path\"}\n"};
  if (other_method) reply = {.status = 405, .body = "{\"error\":\"not with this method\"}\n"};
  if (handler != answers.end()) reply = handler->second(request);
  const Buffer body(evbuffer_new());
  evbuffer_add(body.get(), reply.body.data(), reply.body.size());
  evhttp_add_header(evhttp_request_get_output_headers(raw), "Content-Type", reply.content_type.c_str());
  evhttp_send_reply(raw, reply.status, nullptr, body.get());
}

void ApiServer::Impl::begin_feed(evhttp_request* raw, ApiRequest request, const ApiFeed& feed) {
  Reader& reader = readers.emplace_back(Reader{this, raw, std::move(request), &feed});
  evhttp_add_header(evhttp_request_get_output_headers(raw), "Content-Type", "application/x-ndjson");
  evhttp_send_reply_start(raw, 200, "OK");
  evhttp_connection_set_closecb(
      evhttp_request_get_connection(raw),
      [](evhttp_connection*, void* self) {
        auto& gone = *static_cast<Reader*>(self);
        evhttp_request* orphan = gone.raw;  // the connection has let go of it already
        gone.server->forget(gone);
        evhttp_send_reply_end(orphan);
      },
      &reader);
  reader.timer = event_new(
      base, -1, EV_PERSIST,
      [](evutil_socket_t, short, void* self) {
        auto& waiting = *static_cast<Reader*>(self);
        waiting.server->push(waiting);
      },
      &reader);
  event_add(reader.timer, &feed_interval);
  push(reader);
}

void ApiServer::Impl::push(Reader& reader) {
  const std::string text = (*reader.feed)(reader.request, reader.cursor);
  if (text.empty()) return;
  evhttp_connection* connection = evhttp_request_get_connection(reader.raw);
  if (evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(connection))) >
      reader_backlog_limit) {
    evhttp_request* raw = reader.raw;
    evhttp_connection_set_closecb(connection, nullptr, nullptr);
    forget(reader);
    evhttp_send_reply_end(raw);
    return;
  }
  const Buffer chunk(evbuffer_new());
  evbuffer_add(chunk.get(), text.data(), text.size());
  evhttp_send_reply_chunk(reader.raw, chunk.get());
}

void ApiServer::Impl::forget(Reader& reader) {
  event_free(reader.timer);
  readers.remove_if([&reader](const Reader& one) { return &one == &reader; });
}

ApiServer::ApiServer() : impl_(std::make_unique<Impl>()) {}
ApiServer::~ApiServer() {
  stop();
}

void ApiServer::handle(const std::string& path, ApiHandler handler) {
  impl_->handlers[path] = std::move(handler);
}
void ApiServer::handle_post(const std::string& path, ApiHandler handler) {
  impl_->post_handlers[path] = std::move(handler);
}
void ApiServer::feed(const std::string& path, ApiFeed feed) {
  impl_->feeds[path] = std::move(feed);
}

Status ApiServer::start(const std::string& socket_path) {
  const auto address = address_of(socket_path);
  if (!address) return address.error();
  if (somebody_serves(*address))
    return Error{fmt::format("another agent already serves {}", socket_path),
                 "stop it, or give this one another api.socket"};
  std::error_code ignored;
  const auto there = std::filesystem::symlink_status(socket_path, ignored);
  if (std::filesystem::exists(there) && !std::filesystem::is_socket(there))
    return Error{fmt::format("{} is there already and is no socket", socket_path),
                 "set api.socket to another path; nothing but an old socket is replaced", Error::Kind::usage};
  std::filesystem::create_directories(std::filesystem::path(socket_path).parent_path(), ignored);
  unlink(socket_path.c_str());
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t old_mask = umask(0177);
  const bool bound =
      listener && bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) == 0;
  const int bind_error = errno;
  umask(old_mask);
  if (!bound || listen(listener.get(), 16) != 0)
    return Error{fmt::format("cannot listen on {}: {}", socket_path, strerror(bound ? errno : bind_error)),
                 "set api.socket to a path that can be written"};

  evthread_use_pthreads();
  impl_->socket_path = socket_path;
  impl_->base = event_base_new();
  impl_->http = impl_->base ? evhttp_new(impl_->base) : nullptr;
  if (!impl_->http || evhttp_accept_socket(impl_->http, listener.get()) != 0)
    return Error{"cannot start the API server: out of memory"};
  listener.release();  // evhttp's now
  evhttp_set_allowed_methods(impl_->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
  evhttp_set_gencb(
      impl_->http, [](evhttp_request* raw, void* self) { static_cast<Impl*>(self)->answer(raw); }, impl_.get());
  impl_->thread = std::thread([base = impl_->base] {
    sigset_t pipe;  // a reader that goes away is an error of its connection, not the end of the process
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
  });
  return success();
}

void ApiServer::stop() {
  if (impl_->thread.joinable()) {
    event_base_loopexit(impl_->base, nullptr);  // counts also when the thread has not begun its loop yet
    impl_->thread.join();
  }
  for (auto& reader : impl_->readers) {
    evhttp_connection_set_closecb(evhttp_request_get_connection(reader.raw), nullptr, nullptr);
    event_free(reader.timer);
  }
  impl_->readers.clear();
  if (impl_->http) evhttp_free(std::exchange(impl_->http, nullptr));
  if (impl_->base) event_base_free(std::exchange(impl_->base, nullptr));
  if (!impl_->socket_path.empty()) unlink(impl_->socket_path.c_str());
  impl_->socket_path.clear();
}

}  // namespace inferscope::web
