// SPDX-License-Identifier: Apache-2.0
// What probes on a TLS library's functions cost the program, and what it gains to put them where the kernel emulates
// the instruction. A child reads bytes one by one, which need no socket: without probes, with them on entries and
// return addresses, and where they are put. Prints nanoseconds a read, a line of JSON for each round. usage: tls_bench
// READS ROUNDS
#include <fmt/format.h>
#include <time.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "discover/elf/elf_symbols.h"
#include "discover/tls/tls_watch.h"
#include "source/live/live_source.h"
#include "tests/bench/watched_child.h"
#include "tests/support/elf_of.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tls_conversations.h"

using namespace inferscope;
using namespace inferscope::test;

namespace {

enum class Probes { none, entries, placed };

/// What one child needs for a read. `ready`: it may begin.
double measure(const std::function<MakeTlsSide()>& load, unsigned reads, int ready) {
  const MakeTlsSide make = load();
  char byte = 0;
  REQUIRE_OR_EXIT(read(ready, &byte, 1) == 1);
  const auto pair = tcp_pair();
  std::thread writer([&] {
    const auto side = make(pair.server, false);
    side->shake_hands();
    const std::string text(16000, 'x');
    for (unsigned sent = 0; sent < reads; sent += 16000) side->write(text);
  });
  const auto side = make(pair.client, true);
  side->shake_hands();
  char one = 0;
  for (unsigned i = 0; i < 16000; ++i) REQUIRE_OR_EXIT(side->read(&one, 1) == 1);  // to warm up
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  for (unsigned i = 16000; i < reads; ++i) REQUIRE_OR_EXIT(side->read(&one, 1) == 1);
  const double spent = now() - begin;
  writer.join();
  return spent / (reads - 16000);
}

/// Probes as if nothing was known but the functions' names.
std::vector<TlsProbe> on_entries(const std::string& path) {
  const std::string content = read_file(path);
  const std::map<std::string, TlsFunction> kinds{
      {"SSL_do_handshake", TlsFunction::inner},  {"SSL_peek", TlsFunction::inner},
      {"SSL_read", TlsFunction::read},           {"SSL_write", TlsFunction::write},
      {"SSL_read_ex", TlsFunction::read_ex},     {"SSL_write_ex", TlsFunction::write_ex},
      {"gnutls_handshake", TlsFunction::inner},  {"gnutls_record_recv", TlsFunction::read},
      {"gnutls_record_send", TlsFunction::write}};
  std::vector<std::string_view> names;
  for (const auto& [name, kind] : kinds) names.push_back(name);
  std::vector<TlsProbe> probes;
  for (const auto& [name, function] : discover::exported_functions(*discover::elf_of(content), names))
    probes.push_back(
        {.function = kinds.at(name),
         .symbol = name,
         .places = {.begin = function.offset, .entry = {function.offset, 0}, .return_address = function.offset}});
  return probes;
}

double run(source::LiveSource& source, const std::string& library, const std::function<MakeTlsSide()>& load,
           unsigned reads, Probes probes) {
  bench::WatchedChild child([&](int go, int result) {
    const double spent = measure(load, reads, go);
    _exit(write(result, &spent, sizeof(spent)) == sizeof(spent) ? 0 : 1);
  });
  if (probes == Probes::none) {
    child.run_alone(source);
  } else {
    child.run_watched<TlsLibrary>(source, discover::TlsWatch(), [&](TlsLibrary& found) {
      if (!found.name.starts_with(library) || child.may_go()) return;
      if (probes == Probes::entries) found.probes = on_entries(found.path);
      REQUIRE_OR_EXIT(source.watch(found).ok());
      child.let_go();
    });
  }
  return child.result<double>();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    fmt::print(stderr, "usage: {} READS ROUNDS\n", arguments[0]);
    return 2;
  }
  const auto reads = static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10));
  const auto rounds = static_cast<unsigned>(std::strtoul(arguments[2], nullptr, 10));
  auto opened = source::LiveSource::open({});
  if (!opened) {
    fmt::print(stderr, "{}\n", opened.error().text());
    return 1;
  }
  source::LiveSource& source = *opened.value();
  struct Library {
    const char* name;
    const char* file;
    std::function<MakeTlsSide()> load;
  };
  const std::array<Library, 2> libraries{{
      {"openssl", "libssl.so.3",
       [] {
         static const OpenSsl tls = OpenSsl::shared();
         return [](int fd, bool client) { return std::make_unique<OpenSslSide>(tls, fd, client); };
       }},
      {"gnutls", "libgnutls.so.30",
       [] {
         static const GnuTls tls;
         return [](int fd, bool client) { return std::make_unique<GnuTlsSide>(tls, fd, client); };
       }},
  }};
  for (unsigned round = 0; round < rounds; ++round)
    for (const Library& library : libraries) {
      std::array<double, 3> spent{};
      for (const Probes probes :
           {Probes::none, Probes::entries, Probes::placed, Probes::placed, Probes::entries, Probes::none})
        spent[static_cast<std::size_t>(probes)] += run(source, library.file, library.load, reads, probes) / 2;
      fmt::print("{{\"library\": \"{}\", \"none\": {:.0f}, \"entries\": {:.0f}, \"placed\": {:.0f}}}\n", library.name,
                 spent[0], spent[1], spent[2]);
      std::fflush(stdout);
    }
  return 0;
}
