// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "act/journal_record.h"
#include "act/lease.h"
#include "core/fd.h"
#include "core/result.h"
#include "core/time.h"

namespace inferscope::act {

/// What is about to be done, is done and is undone, on disk before it happens. `journal` in the state folder; it only
/// grows until it is rewritten with what is outstanding.
class Journal {
 public:
  /// Makes the folder if it is missing, and locks it: there is one user at a time. Waits for another one's end, as that
  /// of a guardian which is still undoing what a killed agent left. A damaged journal is set aside as
  /// journal.corrupt.N; what can still be read of it counts.
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& state_folder, Duration wait);

  /// Durable when it returns without an error; with one, nothing is noted and nothing may be done.
  Status intent(const Lease& lease);
  Status done(const std::string& effect);
  Status undone(const std::string& effect);

  [[nodiscard]] const std::vector<Lease>& outstanding() const { return outstanding_; }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  /// A child process that holds it keeps the folder locked.
  [[nodiscard]] int lock_fd() const { return lock_.get(); }

 private:
  Journal(std::filesystem::path folder, Fd lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}

  void read();
  Status append(const Record& record, bool durable);
  Status rewrite();
  void set_aside(const std::string& why);

  std::filesystem::path folder_;
  Fd lock_;
  Fd file_{};
  std::size_t size_ = 0;
  std::size_t rewrite_at_ = 0;
  bool broken_ = false;  ///< what stands at its end is not known: it must be written anew before more is added
  std::vector<Lease> outstanding_{};
  std::vector<std::string> warnings_{};
};

}  // namespace inferscope::act
