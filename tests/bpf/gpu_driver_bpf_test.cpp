// SPDX-License-Identifier: Apache-2.0
// What the kernel's drivers of GPUs are called for, and the jobs that they are given. On a machine without one, a
// terminal stands in for the device; vgem, which the kernels of vagrant/ have, is a real driver with nothing behind it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "tests/support/probe_maps.h"
#include "tests/support/sockets.h"
#include "tests/support/temp_folder.h"
#include "tests/support/traced_process.h"

namespace inferscope::test {
namespace {

/// Calls of a device that stands in for a GPU's: of terminals, whose driver is said to be DRM.
TEST(GpuDriverBpf, CallsOfTheKernelsDriverAreAddedUp) {
  TempFolder folder;
  folder.write("devices", "Character devices:\n  5 drm\n");
  TracedProcess traced({.devices_file = folder.file("devices")});
  traced.run([] {
    const int device = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    REQUIRE_OR_EXIT(device >= 0);
    unsigned number = 0;
    for (int i = 0; i < 30; ++i) REQUIRE_OR_EXIT(ioctl(device, TIOCGPTN, &number) == 0);
    for (int i = 0; i < 10; ++i) REQUIRE_OR_EXIT(ioctl(device, 0x7fff, nullptr) != 0);
    int pipe_ends[2];
    REQUIRE_OR_EXIT(pipe(pipe_ends) == 0 && ioctl(pipe_ends[0], FIONREAD, &number) == 0);
    usleep(500'000);
    for (int i = 0; i < 5; ++i) REQUIRE_OR_EXIT(ioctl(device, TIOCGPTN, &number) == 0);
    usleep(500'000);
  });
  ASSERT_EQ(traced.status(), 0);
  std::uint64_t calls = 0, failed = 0;
  for (const GpuDriverUse* use : traced.all<GpuDriverUse>()) {
    EXPECT_EQ(use->driver, GpuDriverUse::Driver::drm);
    EXPECT_EQ(use->pid, traced.child());
    EXPECT_GT(use->longest, Duration::zero());
    EXPECT_LE(use->longest, use->time);
    calls += use->calls;
    failed += use->failed;
  }
  EXPECT_EQ(calls, 45u);
  EXPECT_EQ(failed, 10u);
  EXPECT_GE(traced.all<GpuDriverUse>().size(), 2u);
  EXPECT_EQ(entries_of("gpu_driver_uses"), 0u);
}

TEST(GpuDriverBpf, NothingIsKeptOfWhoEndsAtOnce) {
  TempFolder folder;
  folder.write("devices", "Character devices:\n  5 drm\n");
  TracedProcess traced({.host_sample_interval = std::chrono::hours(1), .devices_file = folder.file("devices")});
  traced.run([] {
    const int device = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    unsigned number = 0;
    REQUIRE_OR_EXIT(device >= 0 && ioctl(device, TIOCGPTN, &number) == 0);
  });
  ASSERT_EQ(traced.status(), 0);
  EXPECT_EQ(entries_of("gpu_driver_uses"), 0u);
}

/// The kernel's interface, as far as it is used here: its own header comes with a library.
struct DrmVersion {
  int major = 0, minor = 0, patch = 0;
  std::size_t name_size = 0;
  char* name = nullptr;
  std::size_t date_size = 0;
  char* date = nullptr;
  std::size_t description_size = 0;
  char* description = nullptr;
};
struct DrmCreateDumb {
  std::uint32_t height = 64, width = 64, bits = 32, flags = 0, handle = 0, pitch = 0;
  std::uint64_t size = 0;
};
struct DrmMapDumb {
  std::uint32_t handle = 0, pad = 0;
  std::uint64_t offset = 0;
};
struct DrmDestroyDumb {
  std::uint32_t handle = 0;
};
struct VgemAttach {
  std::uint32_t handle = 0, flags = 1 /* it writes */, fence = 0, pad = 0;
};
struct VgemSignal {
  std::uint32_t fence = 0, flags = 0;
};
constexpr auto drm_version = _IOWR('d', 0x00, DrmVersion);
constexpr auto drm_create_dumb = _IOWR('d', 0xb2, DrmCreateDumb);
constexpr auto drm_map_dumb = _IOWR('d', 0xb3, DrmMapDumb);
constexpr auto drm_destroy_dumb = _IOWR('d', 0xb4, DrmDestroyDumb);
constexpr auto vgem_attach = _IOWR('d', 0x41, VgemAttach);
constexpr auto vgem_signal = _IOW('d', 0x42, VgemSignal);

/// Empty if no such driver is loaded.
std::string device_of(std::string_view driver) {
  std::error_code none;
  for (const auto& one : std::filesystem::directory_iterator("/dev/dri", none)) {
    if (!one.path().filename().string().starts_with("card")) continue;
    const Fd device(open(one.path().c_str(), O_RDWR | O_CLOEXEC));
    std::array<char, 32> name{};
    DrmVersion version{.name_size = name.size(), .name = name.data()};
    if (device && ioctl(device.get(), drm_version, &version) == 0 && driver == name.data()) return one.path();
  }
  return {};
}

/// All of them with one source, since loading it takes an emulated machine a quarter of a minute.
class RealGpuDriverBpf : public testing::Test {
 protected:
  static void TearDownTestSuite() { kept.reset(); }
  void SetUp() override {
    path_ = device_of("vgem");
    if (path_.empty()) GTEST_SKIP() << "no driver 'vgem' is loaded";
    if (!kept) kept = std::make_unique<TracedProcess>();
    kept->forget();
  }
  static TracedProcess& traced() { return *kept; }
  /// All that was told of the child.
  static GpuDriverUse sum() {
    GpuDriverUse sum{};
    for (const GpuDriverUse* use : traced().all<GpuDriverUse>()) {
      EXPECT_EQ(use->driver, GpuDriverUse::Driver::drm);
      EXPECT_EQ(use->pid, traced().child());
      sum.calls += use->calls;
      sum.failed += use->failed;
      sum.time += use->time;
      sum.jobs += use->jobs;
      sum.queued += use->queued;
      sum.running += use->running;
    }
    return sum;
  }

  std::string path_{};

 private:
  static inline std::unique_ptr<TracedProcess> kept{};
};

TEST_F(RealGpuDriverBpf, CallsAreAddedUp) {
  traced().run([this] {
    const int device = open(path_.c_str(), O_RDWR);
    REQUIRE_OR_EXIT(device >= 0);
    for (int i = 0; i < 20; ++i) {
      DrmVersion version{};
      REQUIRE_OR_EXIT(ioctl(device, drm_version, &version) == 0);
      DrmCreateDumb made{};
      REQUIRE_OR_EXIT(ioctl(device, drm_create_dumb, &made) == 0);
      DrmMapDumb place{.handle = made.handle};
      REQUIRE_OR_EXIT(ioctl(device, drm_map_dumb, &place) == 0);
      void* const memory =
          mmap(nullptr, made.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, static_cast<off_t>(place.offset));
      REQUIRE_OR_EXIT(memory != MAP_FAILED);
      REQUIRE_OR_EXIT(munmap(memory, made.size) == 0);
      DrmDestroyDumb gone{made.handle};
      REQUIRE_OR_EXIT(ioctl(device, drm_destroy_dumb, &gone) == 0);
      REQUIRE_OR_EXIT(ioctl(device, drm_destroy_dumb, &gone) != 0);
    }
    usleep(500'000);
  });
  ASSERT_EQ(traced().status(), 0);
  const GpuDriverUse told = sum();
  EXPECT_EQ(told.calls, 100u);
  EXPECT_EQ(told.failed, 20u);
  EXPECT_GT(told.time, Duration::zero());
  EXPECT_EQ(told.jobs, 0u);
}

/// Its jobs are fences, which the program itself signals after it has slept.
TEST_F(RealGpuDriverBpf, JobsAreTimed) {
  constexpr int jobs = 10;
  constexpr auto each = std::chrono::milliseconds(20);
  const auto begin = std::chrono::steady_clock::now();
  traced().run([this, each] {
    const int device = open(path_.c_str(), O_RDWR);
    DrmCreateDumb made{};
    REQUIRE_OR_EXIT(device >= 0 && ioctl(device, drm_create_dumb, &made) == 0);
    for (int i = 0; i < jobs; ++i) {
      VgemAttach job{.handle = made.handle};
      REQUIRE_OR_EXIT(ioctl(device, vgem_attach, &job) == 0);
      usleep(std::chrono::microseconds(each).count());
      VgemSignal done{.fence = job.fence};
      REQUIRE_OR_EXIT(ioctl(device, vgem_signal, &done) == 0);
    }
    usleep(500'000);
    VgemAttach last{.handle = made.handle};  // its end is told of when the device is closed
    REQUIRE_OR_EXIT(ioctl(device, vgem_attach, &last) == 0);
    REQUIRE_OR_EXIT(close(device) == 0);
    usleep(500'000);
  });
  const auto all = std::chrono::steady_clock::now() - begin;
  ASSERT_EQ(traced().status(), 0);
  const GpuDriverUse told = sum();
  EXPECT_EQ(told.jobs, jobs + 1u);
  EXPECT_EQ(told.queued, Duration::zero()) << "this driver has no queue";
  EXPECT_GE(told.running, jobs * each);
  EXPECT_LT(told.running, all - std::chrono::milliseconds(900));
  EXPECT_EQ(told.calls, 2u * jobs + 2u);
  EXPECT_EQ(entries_of("gpu_jobs"), 0u);
  EXPECT_EQ(entries_of("gpu_job_sums"), 0u);
  EXPECT_EQ(traced().source().counters().gpu_jobs_full, 0u);
}

TEST_F(RealGpuDriverBpf, JobsOfOthersAreNot) {
  traced().run(
      [this] {
        const int device = open(path_.c_str(), O_RDWR);
        DrmCreateDumb made{};
        REQUIRE_OR_EXIT(device >= 0 && ioctl(device, drm_create_dumb, &made) == 0);
        VgemAttach job{.handle = made.handle};
        REQUIRE_OR_EXIT(ioctl(device, vgem_attach, &job) == 0);
        usleep(500'000);
      },
      TracedProcess::Treatment::ignored);
  ASSERT_EQ(traced().status(), 0);
  EXPECT_TRUE(traced().all<GpuDriverUse>().empty());
  EXPECT_EQ(entries_of("gpu_job_sums"), 0u);
}

}  // namespace
}  // namespace inferscope::test
