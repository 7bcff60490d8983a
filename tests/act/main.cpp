// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string_view>

#include "act/guard.h"

int main(int argc, char** argv) {
  using namespace inferscope::act;
  if (argc == 4 && std::string_view(argv[1]) == "guard") return run_guard({argv[2], argv[3]}, guard_channel_fd) ? 0 : 1;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
