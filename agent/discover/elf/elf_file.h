// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace inferscope::discover {

/// Copies bytes of a file from an offset on, as many as there are and fit; tells how many.
using ReadAt = std::function<std::size_t(std::uint64_t offset, std::span<std::byte> into)>;

/// Bytes of a file.
struct FileRange {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// An ELF file for x86-64, of which only what is asked for is read. Offsets that it tells of itself may lie anywhere:
/// what is not in the file reads as nothing.
class ElfFile {
 public:
  /// Nothing if it is no such file.
  static std::optional<ElfFile> open(ReadAt read);

  [[nodiscard]] std::size_t read(std::uint64_t offset, std::span<std::byte> into) const { return read_(offset, into); }
  template <class T>
  [[nodiscard]] std::optional<T> value_at(std::uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (read(offset, std::as_writable_bytes(std::span(&value, 1))) != sizeof(T)) return std::nullopt;
    return value;
  }

  /// The first `limit` entries of a table, or fewer if the file ends before.
  template <class T>
  [[nodiscard]] std::vector<T> table_at(std::uint64_t offset, std::uint64_t count, std::size_t limit) const {
    std::vector<T> table(count < limit ? static_cast<std::size_t>(count) : limit);
    if (!table.empty()) table.resize(read(offset, std::as_writable_bytes(std::span(table))) / sizeof(T));
    return table;
  }

  /// Where an address of the program lies in the file, whatever address it is loaded to.
  [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address) const { return offset_of(address, 0); }
  /// The same in a segment that is executed.
  [[nodiscard]] std::optional<std::uint64_t> offset_of_code(std::uint64_t address) const {
    return offset_of(address, PF_X);
  }
  /// Where a byte of the file lies in the program, if it is loaded.
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::uint64_t offset) const;
  /// It is loaded to the addresses that it tells.
  [[nodiscard]] bool has_fixed_address() const { return header_.e_type == ET_EXEC; }
  /// All that the program's header tells to do with the file, and the parts of it that are executed.
  [[nodiscard]] const std::vector<Elf64_Phdr>& segments() const { return segments_; }
  [[nodiscard]] std::vector<Elf64_Phdr> code() const;
  /// What the dynamic linker is told; no size: it is told nothing.
  [[nodiscard]] FileRange dynamic_table() const;

  /// What the linker made of all that it put in, and stripping leaves (NT_GNU_BUILD_ID); empty: there is none.
  [[nodiscard]] std::string build_id() const;

  /// Empty in files that were cut down to what is loaded.
  [[nodiscard]] std::vector<Elf64_Shdr> sections() const;
  /// The bytes of the section of this name; no size: there is none.
  [[nodiscard]] FileRange section(std::string_view name) const;
  /// What its header says; also of sections that have no bytes in the file.
  [[nodiscard]] std::optional<Elf64_Shdr> section_header(std::string_view name) const;

 private:
  ElfFile(ReadAt read, const Elf64_Ehdr& header) : read_(std::move(read)), header_(header) {}
  [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address, std::uint32_t rights) const;

  ReadAt read_;
  Elf64_Ehdr header_;
  std::vector<Elf64_Phdr> segments_{};
};

}  // namespace inferscope::discover
