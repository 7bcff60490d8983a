// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "model/trace_attributes.h"
#include "tests/unit/correlate/recorded_traces.h"

namespace inferscope::correlate {
namespace {

constexpr std::string_view chat = "/v1/chat/completions";
constexpr std::string_view body = R"({"model":"m"})";

const Endpoint caller{Family::ipv4, "10.0.0.1", 40000};
const Endpoint proxy_port{Family::ipv4, "10.0.0.2", 80};
const Endpoint proxy_out{Family::ipv4, "127.0.0.1", 50000};
const Endpoint backend_port{Family::ipv4, "127.0.0.1", 8080};

constexpr Pid proxy = 100;
constexpr Pid backend = 200;

/// A proxy (connections 1 in, 2 out) and the backend behind it (connection 3).
struct Hosts {
  RecordedTraces recorded{};
  test::ExchangeScript front = recorded.script(test::tcp_connection(1, proxy, Role::server, proxy_port, caller));
  test::ExchangeScript out = recorded.script(test::tcp_connection(2, proxy, Role::client, proxy_out, backend_port));
  test::ExchangeScript back = recorded.script(test::tcp_connection(3, backend, Role::server, backend_port, proxy_out));

  void play(Headers caller_headers = {}, Headers proxy_headers = {}, std::string_view sent = body) {
    front.at(1000).request(chat, body, std::move(caller_headers));
    out.at(1001).request(chat, sent, proxy_headers);
    back.at(1002).request(chat, sent, proxy_headers);
    finish();
  }
  void finish() {
    back.at(1010).response_head().response_end().close();
    out.at(1011).response_head().response_end().close();
    front.at(1012).response_head().response_end().close();
  }
  const RequestTrace& trace(ConnectionId connection) { return recorded.trace(connection); }
  void expect_chain() {
    EXPECT_EQ(trace(3).parent_span_id, trace(2).span_id);
    EXPECT_EQ(trace(2).parent_span_id, trace(1).span_id);
    EXPECT_EQ(trace(3).trace_id, trace(1).trace_id);
    EXPECT_EQ(trace(2).trace_id, trace(1).trace_id);
  }
};

TEST(Links, ProxyAndBackendAreOneTrace) {
  Hosts hosts;
  hosts.play();
  hosts.expect_chain();
  EXPECT_FALSE(hosts.trace(1).parent_span_id);
}

TEST(Links, AllAtOneMoment) {
  Hosts hosts;
  for (auto* script : {&hosts.front, &hosts.out, &hosts.back}) script->at(1000).request(chat, body);
  hosts.finish();
  hosts.expect_chain();
}

TEST(Links, BackendSeenBeforeTheProxysOwnRequest) {
  Hosts hosts;
  hosts.front.at(1000).request(chat, body);
  hosts.back.at(1002).request(chat, body);
  hosts.out.at(1001).request(chat, body);
  hosts.finish();
  hosts.expect_chain();
}

TEST(Links, ProxyClosesFirst) {
  Hosts hosts;
  hosts.front.at(1000).request(chat, body);
  hosts.out.at(1001).request(chat, body);
  hosts.back.at(1002).request(chat, body);
  hosts.front.at(1010).close(Exchange::Ending::client_closed);
  hosts.out.at(1011).close(Exchange::Ending::client_closed);
  hosts.back.at(1012).close(Exchange::Ending::client_closed);
  hosts.expect_chain();
}

TEST(Links, AddressesMappedIntoIpv6AreTheSame) {
  Hosts hosts;
  hosts.back = hosts.recorded.script(test::tcp_connection(
      3, backend, Role::server, {Family::ipv6, "::ffff:127.0.0.1", 8080}, {Family::ipv6, "::ffff:127.0.0.1", 50000}));
  hosts.play();
  hosts.expect_chain();
}

TEST(Links, UnixSocketsByInode) {
  const auto unix_end = [](ConnectionId id, Pid pid, Role role, std::uint64_t inode, std::uint64_t peer) {
    Connection connection =
        test::tcp_connection(id, pid, role, {Family::unix_stream, "", 0}, {Family::unix_stream, "", 0});
    connection.socket_inode = inode;
    connection.peer_inode = peer;
    return connection;
  };
  Hosts hosts;
  hosts.out = hosts.recorded.script(unix_end(2, proxy, Role::client, 71, 72));
  hosts.back = hosts.recorded.script(unix_end(3, backend, Role::server, 72, 71));
  hosts.play();
  hosts.expect_chain();
}

TEST(Links, OtherConnectionsAreNotPaired) {
  const Endpoint wildcard{Family::ipv4, "0.0.0.0", 8080};
  const Endpoint other_port{Family::ipv4, "127.0.0.1", 50001};
  for (const auto& [local, remote] :
       {std::pair{wildcard, proxy_out}, std::pair{backend_port, other_port}, std::pair{proxy_out, backend_port}}) {
    Hosts hosts;
    hosts.back = hosts.recorded.script(test::tcp_connection(3, backend, Role::server, local, remote));
    hosts.play();
    EXPECT_FALSE(hosts.trace(3).parent_span_id);
  }
}

TEST(Links, OtherRequestOnTheSameConnectionIsNotPaired) {
  Hosts hosts;
  hosts.back = hosts.recorded.script(test::tcp_connection(3, backend, Role::server, backend_port, proxy_out), 1);
  hosts.play();
  EXPECT_FALSE(hosts.trace(3).parent_span_id);
}

TEST(Links, KeepAliveWithOneEndSeenFromTheMiddle) {
  Hosts hosts;
  Connection late = test::tcp_connection(3, backend, Role::server, backend_port, proxy_out);
  late.mid_stream = true;
  hosts.out = hosts.recorded.script(test::tcp_connection(2, proxy, Role::client, proxy_out, backend_port), 7);
  hosts.back = hosts.recorded.script(late, 0);
  hosts.play();
  hosts.expect_chain();
}

TEST(Links, CallersTraceGoesThroughTheProxy) {
  const Headers headers{{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
                        {"tracestate", "a=b"}};
  Hosts hosts;
  hosts.play(headers, headers);  // passed on unchanged: the parent on this host is nearer
  hosts.expect_chain();
  EXPECT_EQ(hex(hosts.trace(1).trace_id), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex(*hosts.trace(1).parent_span_id), "b7ad6b7169203331");

  Hosts silent;
  silent.play(headers, {});
  silent.expect_chain();
  EXPECT_EQ(silent.trace(3).trace_state, "a=b");
}

TEST(Links, ProxyThatBeginsATraceOfItsOwn) {
  Hosts hosts;
  hosts.play({}, {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}});
  EXPECT_EQ(hex(hosts.trace(2).trace_id), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex(*hosts.trace(2).parent_span_id), "b7ad6b7169203331");
  EXPECT_EQ(hosts.trace(3).trace_id, hosts.trace(2).trace_id);
  EXPECT_EQ(hosts.trace(3).parent_span_id, hosts.trace(2).span_id);
  EXPECT_NE(hosts.trace(1).trace_id, hosts.trace(2).trace_id);
}

/// A proxy with two requests in flight and one that it makes.
struct TwoInFlight {
  RecordedTraces recorded{};
  test::ExchangeScript first = recorded.script(test::tcp_connection(1, proxy, Role::server, proxy_port, caller), 0);
  test::ExchangeScript second = recorded.script(test::tcp_connection(2, proxy, Role::server, proxy_port, caller), 0);
  test::ExchangeScript out = recorded.script(test::tcp_connection(3, proxy, Role::client, proxy_out, backend_port), 0);

  const RequestTrace& finish() {
    out.at(1010).response_head().response_end().close();
    return recorded.trace(3);
  }
  SpanId span_of(test::ExchangeScript& script) {
    script.at(1020).response_head().response_end().close();
    return recorded.traces.back().span_id;
  }
};

TEST(Links, CauseByRequestId) {
  TwoInFlight requests;
  requests.first.at(1000).request(chat, body, {{"x-request-id", "1"}});
  requests.second.at(1001).request(chat, body, {{"x-request-id", "2"}});
  requests.out.at(1002).request(chat, body, {{"x-request-id", "2"}});
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.second));
}

TEST(Links, CauseByTraceIdThoughTheSpanIsAnother) {
  TwoInFlight requests;
  requests.first.at(1000).request(chat, body,
                                  {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}});
  requests.second.at(1001).request(chat, body);
  requests.out.at(1002).request(chat, body,
                                {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01"}});
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.first));
}

TEST(Links, CauseByBody) {
  TwoInFlight requests;
  requests.first.at(1000).request(chat, "one");
  requests.second.at(1001).request(chat, "two");
  requests.out.at(1002).request(chat, "one");
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.first));
}

TEST(Links, CauseByWhatIsAsked) {
  TwoInFlight requests;
  requests.recorded.asked = {{1, "Why is the sky blue?\n"},
                             {2, "And why is the sea salty?"},
                             {3, "<|user|>Hello.\n<|user|>Why is the sky blue?<|assistant|>"}};
  requests.second.exchange.tid = requests.out.exchange.tid;  // as it happens
  requests.first.at(1000).request(chat, "one");
  requests.second.at(1001).request(chat, "two");
  requests.out.at(1002).request("/completion", "rewritten");
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.first));
}

TEST(Links, WhatAnybodyMayAskIsNoCause) {
  for (const auto& [first, second] : {std::pair("ok", "Why is the sky blue?"),  // too short to tell
                                      std::pair("xxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),  // masked
                                      std::pair("Why is it?", "Why is it?")}) {
    TwoInFlight requests;
    requests.recorded.asked = {{1, first}, {2, second}, {3, "It is ok. Why is it? xxxxxxxxxxxxxxxx"}};
    requests.out.exchange.tid = 102;
    requests.first.at(1000).request(chat, "one");
    requests.second.at(1001).request(chat, "two");
    requests.out.at(1002).request("/completion", "rewritten");
    EXPECT_FALSE(requests.finish().parent_span_id) << first;
  }
}

TEST(Links, CauseByThread) {
  TwoInFlight requests;
  requests.second.exchange.tid = 101;
  requests.out.exchange.tid = 101;
  requests.first.at(1000).request(chat, "one");
  requests.second.at(1001).request(chat, "two");
  requests.out.at(1002).request("/api/chat", "rewritten");
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.second));
}

TEST(Links, CauseByPath) {
  TwoInFlight requests;
  requests.out.exchange.tid = 102;
  requests.first.at(1000).request(chat, "one");
  requests.second.at(1001).request("/v1/completions", "two");
  requests.out.at(1002).request(chat, "rewritten");
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.first));
}

TEST(Links, AmbiguousCauseIsNone) {
  TwoInFlight requests;
  requests.first.at(1000).request(chat, body);
  requests.second.at(1001).request(chat, body);
  requests.out.at(1002).request(chat, body);
  EXPECT_FALSE(requests.finish().parent_span_id);
}

TEST(Links, WeakerSignsChooseAmongThoseOfAStrongerOne) {
  TwoInFlight requests;
  requests.first.exchange.tid = 101;
  requests.second.exchange.tid = 102;
  requests.out.exchange.tid = 102;
  requests.first.at(1000).request(chat, body);
  requests.second.at(1001).request(chat, body);
  requests.out.at(1002).request(chat, body);
  const auto parent = requests.finish().parent_span_id;
  EXPECT_EQ(parent, requests.span_of(requests.second));
}

TEST(Links, EndedOrLaterRequestsAreNoCause) {
  TwoInFlight requests;
  requests.first.at(1000).request(chat, body).response_head().response_end().close();
  requests.out.at(1002).request(chat, body);
  requests.second.at(1003).request(chat, body);
  EXPECT_FALSE(requests.finish().parent_span_id);
}

TEST(Links, RequestToItselfEndsSomewhere) {
  RecordedTraces recorded;
  std::vector<test::ExchangeScript> scripts;
  for (std::uint16_t i = 0; i < 40; ++i) {
    const Endpoint near{Family::ipv4, "127.0.0.1", static_cast<std::uint16_t>(2000 + i)};
    scripts.push_back(recorded.script(test::tcp_connection(2U * i + 1U, proxy, Role::client, near, backend_port)));
    scripts.push_back(recorded.script(test::tcp_connection(2U * i + 2U, proxy, Role::server, backend_port, near)));
  }
  std::int64_t time = 0;
  for (auto& script : scripts) {
    script.exchange.tid = static_cast<Tid>(time / 2);
    ++time;
    script.at(time).request(chat, "body " + std::to_string((time + 1) / 4));
  }
  for (auto& script : scripts) script.at(++time).close();
  EXPECT_EQ(recorded.traces.size(), scripts.size());
}

}  // namespace
}  // namespace inferscope::correlate
