// SPDX-License-Identifier: Apache-2.0
#include "exporters/http/http_poster.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace inferscope::exporters {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t answer_limit = 4u << 20;
constexpr timeval clock_look{.tv_sec = 0, .tv_usec = 20'000};

template <auto release>
struct Releaser {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};
using Base = std::unique_ptr<event_base, Releaser<event_base_free>>;
using Uri = std::unique_ptr<evhttp_uri, Releaser<evhttp_uri_free>>;
using Event = std::unique_ptr<event, Releaser<event_free>>;
using Context = std::unique_ptr<SSL_CTX, Releaser<SSL_CTX_free>>;

struct ConnectionDeleter {
  void operator()(evhttp_connection* connection) const { evhttp_connection_free(connection); }
};
struct DnsDeleter {
  void operator()(evdns_base* dns) const { evdns_base_free(dns, 0); }
};

std::string error_name(evhttp_request_error error) {
  switch (error) {
    case EVREQ_HTTP_TIMEOUT:
      return "no answer in time";
    case EVREQ_HTTP_EOF:
      return "connection refused or closed";
    case EVREQ_HTTP_INVALID_HEADER:
      return "the answer is not HTTP";
    case EVREQ_HTTP_BUFFER_ERROR:
      return "connection broken";
    case EVREQ_HTTP_REQUEST_CANCEL:
      return "cancelled";
    case EVREQ_HTTP_DATA_TOO_LONG:
      return "the answer is too long";
  }
  return "unknown";
}

}  // namespace

struct HttpPoster::Impl {
  Base base{};
  std::unique_ptr<evdns_base, DnsDeleter> dns{};
  Context tls{};
  std::string host{};
  std::string target{};
  std::uint16_t port = 0;
  std::map<std::string, std::string> headers{};

  [[nodiscard]] bufferevent* open_transport() const {
    if (!tls) return bufferevent_socket_new(base.get(), -1, BEV_OPT_CLOSE_ON_FREE);
    SSL* ssl = SSL_new(tls.get());
    SSL_set_tlsext_host_name(ssl, host.c_str());
    SSL_set1_host(ssl, host.c_str());
    bufferevent* transport =
        bufferevent_openssl_socket_new(base.get(), -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    if (transport) bufferevent_openssl_set_allow_dirty_shutdown(transport, 1);
    return transport;
  }
};

Result<std::unique_ptr<HttpPoster>> HttpPoster::create(const std::string& url,
                                                       std::map<std::string, std::string> headers) {
  const auto bad = [&url](std::string_view why) {
    return Error{fmt::format("'{}' is no endpoint: {}", url, why), "give a URL such as http://localhost:4318/v1/traces",
                 Error::Kind::usage};
  };
  const Uri uri(evhttp_uri_parse(url.c_str()));
  if (!uri) return bad("it is no URL");
  const char* scheme = evhttp_uri_get_scheme(uri.get());
  const char* host = evhttp_uri_get_host(uri.get());
  const std::string_view protocol = scheme ? scheme : "";
  if (protocol != "http" && protocol != "https") return bad("only http and https are possible");
  if (!host || !*host) return bad("it names no host");

  auto impl = std::make_unique<Impl>();
  impl->host = host;
  if (impl->host.starts_with('[') && impl->host.ends_with(']'))
    impl->host = impl->host.substr(1, impl->host.size() - 2);
  const int port = evhttp_uri_get_port(uri.get());
  impl->port = static_cast<std::uint16_t>(port > 0 ? port : protocol == "https" ? 443 : 80);
  const char* path = evhttp_uri_get_path(uri.get());
  impl->target = path && *path ? path : "/";
  if (const char* query = evhttp_uri_get_query(uri.get())) impl->target += fmt::format("?{}", query);
  impl->headers = std::move(headers);
  impl->base.reset(event_base_new());
  if (!impl->base) return Error{"cannot start the exporter: out of descriptors or memory"};
  // libevent's own resolver, since the C library's cannot be used by a fully static binary everywhere.
  impl->dns.reset(evdns_base_new(impl->base.get(), EVDNS_BASE_DISABLE_WHEN_INACTIVE));
  if (impl->dns && evdns_base_resolv_conf_parse(impl->dns.get(), DNS_OPTIONS_ALL, "/etc/resolv.conf") != 0)
    evdns_base_load_hosts(impl->dns.get(), "/etc/hosts");
  if (protocol == "https") {
    impl->tls.reset(SSL_CTX_new(TLS_client_method()));
    if (!impl->tls || SSL_CTX_set_default_verify_paths(impl->tls.get()) != 1)
      return Error{"the system's certificates cannot be read", "install ca-certificates, or set SSL_CERT_FILE"};
    SSL_CTX_set_verify(impl->tls.get(), SSL_VERIFY_PEER, nullptr);
  }
  return std::unique_ptr<HttpPoster>(new HttpPoster(std::move(impl)));
}

HttpPoster::HttpPoster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpPoster::~HttpPoster() = default;

PostReply HttpPoster::post(const std::string& body, Duration timeout,
                           const std::map<std::string, std::string>& headers) {
  struct Exchange {
    event_base* base;
    const std::atomic<Clock::rep>& stop_at;
    Clock::time_point deadline;
    PostReply reply{};
    bool done = false;

    [[nodiscard]] bool is_over() const {
      return Clock::now() >= std::min(deadline, Clock::time_point(Clock::duration(stop_at.load())));
    }
  } exchange{impl_->base.get(),
             stop_at_,
             timeout < std::chrono::hours(24) ? Clock::now() + timeout : Clock::time_point::max(),
             {}};
  if (exchange.is_over()) return {.problem = "no answer in time"};

  bufferevent* transport = impl_->open_transport();
  if (!transport) return {.problem = "out of descriptors or memory"};
  const std::unique_ptr<evhttp_connection, ConnectionDeleter> connection(evhttp_connection_base_bufferevent_new(
      impl_->base.get(), impl_->dns.get(), transport, impl_->host.c_str(), impl_->port));
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(timeout).count();
  const timeval limit{.tv_sec = microseconds / 1'000'000, .tv_usec = microseconds % 1'000'000};
  evhttp_connection_set_timeout_tv(connection.get(), &limit);
  evhttp_connection_set_max_body_size(connection.get(), answer_limit);
  evhttp_connection_set_max_headers_size(connection.get(), 65536);

  evhttp_request* request = evhttp_request_new(
      [](evhttp_request* raw, void* context) {
        auto& self = *static_cast<Exchange*>(context);
        self.done = true;
        event_base_loopbreak(self.base);
        if (!raw || evhttp_request_get_response_code(raw) == 0) {
          if (self.reply.problem.empty()) self.reply.problem = "connection refused or closed";
          return;
        }
        self.reply.status = evhttp_request_get_response_code(raw);
        self.reply.problem.clear();
        if (const char* after = evhttp_find_header(evhttp_request_get_input_headers(raw), "Retry-After"))
          self.reply.retry_after = after;
        evbuffer* input = evhttp_request_get_input_buffer(raw);
        self.reply.body.resize(evbuffer_get_length(input));
        evbuffer_copyout(input, self.reply.body.data(), self.reply.body.size());
      },
      &exchange);
  evhttp_request_set_error_cb(request, [](evhttp_request_error error, void* context) {
    static_cast<Exchange*>(context)->reply.problem = error_name(error);
  });
  evkeyvalq* out = evhttp_request_get_output_headers(request);
  const bool plain_v6 = impl_->host.find(':') != std::string::npos;
  evhttp_add_header(
      out, "Host",
      (plain_v6 ? fmt::format("[{}]:{}", impl_->host, impl_->port) : fmt::format("{}:{}", impl_->host, impl_->port))
          .c_str());
  evhttp_add_header(out, "Connection", "close");
  for (const auto& [name, value] : impl_->headers) evhttp_add_header(out, name.c_str(), value.c_str());
  for (const auto& [name, value] : headers) evhttp_add_header(out, name.c_str(), value.c_str());
  evbuffer_add(evhttp_request_get_output_buffer(request), body.data(), body.size());
  if (evhttp_make_request(connection.get(), request, EVHTTP_REQ_POST, impl_->target.c_str()) != 0)
    return {.problem = "the connection could not be opened"};
  // Connecting and reading together take no longer. Not event_base_loopexit(): its timer would outlive this post and
  // end a later one.
  const Event clock(event_new(
      impl_->base.get(), -1, EV_PERSIST,
      [](evutil_socket_t, short, void* context) {
        auto& self = *static_cast<Exchange*>(context);
        if (self.is_over()) event_base_loopbreak(self.base);
      },
      &exchange));
  event_add(clock.get(), &clock_look);
  event_base_dispatch(impl_->base.get());
  if (!exchange.done) exchange.reply.problem = "no answer in time";
  if (!exchange.done && impl_->tls)
    if (const unsigned long error = bufferevent_get_openssl_error(transport); error != 0)
      exchange.reply.problem = fmt::format("TLS: {}", ERR_reason_error_string(error));
  return exchange.reply;
}

}  // namespace inferscope::exporters
