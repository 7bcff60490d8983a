// SPDX-License-Identifier: Apache-2.0
// Both sides of bpf/abi/wire.h: as this compiler lays the structures out, and as the BPF objects' own types say.
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bpf/abi/wire.h"

extern "C" {
extern const char bpf_process_begin[], bpf_process_end[];
extern const char bpf_connection_begin[], bpf_connection_end[];
extern const char bpf_socket_begin[], bpf_socket_end[];
extern const char bpf_uring_begin[], bpf_uring_end[];
}

namespace inferscope::test {
namespace {

struct Member {
  const char* name;
  std::size_t offset;
};
struct Layout {
  const char* name;
  std::size_t size;
  std::vector<Member> members;
};

#define M(type, member)             \
  Member {                          \
#member, offsetof(type, member) \
  }

const std::vector<Layout> layouts{
    {"wire_header",
     sizeof(wire_header),
     {M(wire_header, kind), M(wire_header, version), M(wire_header, size), M(wire_header, time_ns)}},
    {"wire_process",
     sizeof(wire_process),
     {M(wire_process, header), M(wire_process, tgid), M(wire_process, parent), M(wire_process, status),
      M(wire_process, watched)}},
    {"wire_found",
     sizeof(wire_found),
     {M(wire_found, header), M(wire_found, tgid), M(wire_found, sample_size), M(wire_found, sample)}},
    {"wire_conn_open",
     sizeof(wire_conn_open),
     {M(wire_conn_open, header),
      M(wire_conn_open, conn),
      M(wire_conn_open, key),
      M(wire_conn_open, inode),
      M(wire_conn_open, peer_inode),
      M(wire_conn_open, tgid),
      M(wire_conn_open, tid),
      M(wire_conn_open, fd),
      M(wire_conn_open, family),
      M(wire_conn_open, role),
      M(wire_conn_open, mid_stream),
      M(wire_conn_open, local_address),
      M(wire_conn_open, remote_address),
      M(wire_conn_open, local_port),
      M(wire_conn_open, remote_port),
      M(wire_conn_open, path_size),
      M(wire_conn_open, path_is_local),
      M(wire_conn_open, reserved),
      M(wire_conn_open, path),
      M(wire_conn_open, reserved2)}},
    {"wire_conn_half_closed",
     sizeof(wire_conn_half_closed),
     {M(wire_conn_half_closed, header), M(wire_conn_half_closed, conn), M(wire_conn_half_closed, direction),
      M(wire_conn_half_closed, reserved)}},
    {"wire_conn_closed",
     sizeof(wire_conn_closed),
     {M(wire_conn_closed, header), M(wire_conn_closed, conn), M(wire_conn_closed, bytes),
      M(wire_conn_closed, transfers), M(wire_conn_closed, reason), M(wire_conn_closed, tgid)}},
    {"wire_transfer",
     sizeof(wire_transfer),
     {M(wire_transfer, header), M(wire_transfer, conn), M(wire_transfer, begin_ns), M(wire_transfer, position),
      M(wire_transfer, sequence), M(wire_transfer, length), M(wire_transfer, tgid), M(wire_transfer, tid),
      M(wire_transfer, head_size), M(wire_transfer, tail_size), M(wire_transfer, direction), M(wire_transfer, cut),
      M(wire_transfer, reserved)}},
    {"wire_target", sizeof(wire_target), {M(wire_target, state), M(wire_target, sample_budget)}},
    {"wire_stream",
     sizeof(wire_stream),
     {M(wire_stream, position), M(wire_stream, sequence), M(wire_stream, captured), M(wire_stream, capture_from)}},
    {"wire_conn",
     sizeof(wire_conn),
     {M(wire_conn, id), M(wire_conn, key), M(wire_conn, inode), M(wire_conn, tgid), M(wire_conn, fd),
      M(wire_conn, role), M(wire_conn, announced), M(wire_conn, mid_stream), M(wire_conn, last_direction),
      M(wire_conn, no_payload), M(wire_conn, reset), M(wire_conn, family), M(wire_conn, streams)}},
    {"wire_wish", sizeof(wire_wish), {M(wire_wish, conn), M(wire_wish, capture_from), M(wire_wish, no_payload)}},
    {"wire_settings",
     sizeof(wire_settings),
     {M(wire_settings, head_limit), M(wire_settings, tail_limit), M(wire_settings, message_budget),
      M(wire_settings, wake_bytes), M(wire_settings, sample_budget), M(wire_settings, path_count)}},
    {"wire_path", sizeof(wire_path), {M(wire_path, size), M(wire_path, bytes)}},
};

struct ObjectCloser {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, ObjectCloser>;

std::map<std::string, Object> open_objects() {
  std::map<std::string, Object> objects;
  const auto open = [&objects](const char* name, const char* begin, const char* end) {
    objects[name].reset(bpf_object__open_mem(begin, static_cast<std::size_t>(end - begin), nullptr));
  };
  open("process", bpf_process_begin, bpf_process_end);
  open("connection", bpf_connection_begin, bpf_connection_end);
  open("socket", bpf_socket_begin, bpf_socket_end);
  open("uring", bpf_uring_begin, bpf_uring_end);
  return objects;
}

TEST(LayoutBpf, BothSidesAgree) {
  const auto objects = open_objects();
  for (const Layout& layout : layouts) {
    int found = 0;
    for (const auto& [object_name, object] : objects) {
      ASSERT_TRUE(object) << object_name;
      const btf* types = bpf_object__btf(object.get());
      ASSERT_TRUE(types) << object_name;
      const int id = btf__find_by_name_kind(types, layout.name, BTF_KIND_STRUCT);
      if (id < 0) continue;
      ++found;
      const btf_type* type = btf__type_by_id(types, static_cast<__u32>(id));
      EXPECT_EQ(type->size, layout.size) << layout.name << " in " << object_name;
      ASSERT_EQ(btf_vlen(type), layout.members.size()) << layout.name << " in " << object_name;
      for (std::size_t i = 0; i < layout.members.size(); ++i) {
        const btf_member& member = btf_members(type)[i];
        EXPECT_STREQ(btf__name_by_offset(types, member.name_off), layout.members[i].name) << layout.name;
        EXPECT_EQ(btf_member_bit_offset(type, static_cast<__u32>(i)), layout.members[i].offset * 8)
            << layout.name << "." << layout.members[i].name << " in " << object_name;
      }
    }
    EXPECT_GT(found, 0) << layout.name << " is in no object";
  }
}

}  // namespace
}  // namespace inferscope::test
