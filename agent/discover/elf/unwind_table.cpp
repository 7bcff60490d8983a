// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/unwind_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "discover/elf/byte_search.h"

namespace inferscope::discover {
namespace {

// How pointers are written (Linux Standard Base, "DWARF Extensions"): the form in the low bits, what it is relative to
// above them.
constexpr std::uint8_t form_of = 0x0f, relative_to = 0x70;
constexpr std::uint8_t form_absolute = 0x00, form_u2 = 0x02, form_u4 = 0x03, form_u8 = 0x04, form_s2 = 0x0a,
                       form_s4 = 0x0b, form_s8 = 0x0c;
constexpr std::uint8_t relative_to_nothing = 0x00, relative_to_itself = 0x10, relative_to_header = 0x30;
constexpr std::uint8_t omitted = 0xff;

constexpr std::size_t entry_read = 128;  // what is asked for is at the beginning
constexpr std::uint64_t table_limit = 32u << 20;
constexpr std::size_t kinds_limit = 4096;

/// Bytes that are taken one after the other; what is not there reads as nothing, once and for all.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::uint64_t address) : bytes_(bytes), address_(address) {}

  [[nodiscard]] std::uint64_t address() const { return address_; }
  template <class T>
  std::optional<T> take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (bytes_.size() < sizeof(T)) return fail();
    std::memcpy(&value, bytes_.data(), sizeof(T));
    skip(sizeof(T));
    return value;
  }
  void skip(std::uint64_t count) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(count, bytes_.size()));
    bytes_ = bytes_.subspan(most);
    address_ += most;
  }
  /// LEB128; longer than 64 bits is none.
  std::optional<std::uint64_t> take_number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = take<std::uint8_t>();
      if (!byte) return std::nullopt;
      value |= std::uint64_t{*byte & 0x7fu} << shift;
      if ((*byte & 0x80) == 0) return value;
    }
    return fail();
  }
  std::optional<std::string_view> take_text() {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    const std::size_t end = all.find('\0');
    if (end == std::string_view::npos) return fail();
    skip(end + 1);
    return all.substr(0, end);
  }
  /// Relative to itself or to nothing; `header`: the address of a table that it may be relative to.
  std::optional<std::uint64_t> take_pointer(std::uint8_t encoding, std::uint64_t header = 0) {
    const std::uint64_t itself = address_;
    const auto value = take_form(encoding);
    if (!value) return std::nullopt;
    switch (encoding & relative_to) {
      case relative_to_nothing:
        return *value;
      case relative_to_itself:
        return *value + itself;
      case relative_to_header:
        return *value + header;
      default:
        return fail();
    }
  }
  std::optional<std::uint64_t> take_form(std::uint8_t encoding) {
    switch (encoding & form_of) {
      case form_absolute:
      case form_u8:
      case form_s8:
        return take<std::uint64_t>();
      case form_u4:
        return widened(take<std::uint32_t>());
      case form_s4:
        return widened(take<std::int32_t>());
      case form_u2:
        return widened(take<std::uint16_t>());
      case form_s2:
        return widened(take<std::int16_t>());
      default:
        return fail();
    }
  }

 private:
  template <class T>
  static std::optional<std::uint64_t> widened(std::optional<T> value) {
    if (!value) return std::nullopt;
    return static_cast<std::uint64_t>(std::int64_t{*value});
  }
  std::nullopt_t fail() {
    bytes_ = {};
    return std::nullopt;
  }

  std::span<const std::byte> bytes_;
  std::uint64_t address_;
};

/// What entries have in common, which each of them refers to ("CIE").
struct Kind {
  std::uint8_t pointers = form_absolute;  ///< how they tell addresses
  bool sized = false;                     ///< they have a part of a told size before the instructions
};

/// `content`: behind its id.
std::optional<Kind> read_kind(Cursor content) {
  const auto version = content.take<std::uint8_t>();
  const auto extras = content.take_text();
  if (!version || !extras) return std::nullopt;
  content.take_number();  // units of code
  content.take_number();  // units of data
  if (*version == 1)
    content.skip(1);  // the register of the return address
  else
    content.take_number();
  Kind kind;
  if (extras->empty()) return kind;
  if (extras->front() != 'z') return std::nullopt;
  kind.sized = true;
  content.take_number();
  for (const char extra : extras->substr(1)) {
    if (extra == 'R') {
      const auto pointers = content.take<std::uint8_t>();
      if (!pointers) return std::nullopt;
      kind.pointers = *pointers;
    } else if (extra == 'P') {
      const auto encoding = content.take<std::uint8_t>();
      if (!encoding || !content.take_form(*encoding)) return std::nullopt;
    } else if (extra == 'L') {
      content.skip(1);
    } else if (extra != 'S' && extra != 'B') {
      return std::nullopt;
    }
  }
  return kind;
}

/// Whether the first instruction already tells of a frame, or of a saved register.
bool begins_in_frame(Cursor instructions) {
  constexpr std::uint8_t nothing = 0x00, first_of_frame = 0x0c, last_of_frame = 0x0f, saved = 0x80, saved_mask = 0xc0;
  auto first = instructions.take<std::uint8_t>();
  while (first && *first == nothing) first = instructions.take<std::uint8_t>();
  return first && ((*first >= first_of_frame && *first <= last_of_frame) || (*first & saved_mask) == saved);
}

/// `content`: behind the reference to its kind ("FDE").
std::optional<CodePiece> read_piece(Cursor content, const Kind& kind) {
  const auto begin = content.take_pointer(kind.pointers);
  const auto size = content.take_form(kind.pointers);
  if (!begin || !size || *size == 0 || *begin + *size < *begin) return std::nullopt;
  if (kind.sized) content.skip(content.take_number().value_or(0));
  return CodePiece{{*begin, *begin + *size}, begins_in_frame(content)};
}

/// The beginning of an entry, as it lies in the file.
struct Entry {
  std::uint32_t size = 0;       ///< of what follows; 0: the end. Those of 4 GiB and more are not for us
  std::uint32_t reference = 0;  ///< to its kind, back from here; 0: it is a kind
};
constexpr std::uint64_t behind_size = sizeof(Entry::size);
constexpr std::uint32_t large = 0xffffffff;

class Lookup {
 public:
  Lookup(const ElfFile& file, std::vector<std::uint64_t> addresses) : file_(file), addresses_(std::move(addresses)) {
    std::sort(addresses_.begin(), addresses_.end());
  }

  /// By the sorted table; false if the file has none that is of the usual form.
  bool by_header() {
    const auto& segments = file_.segments();
    const auto found = std::find_if(segments.begin(), segments.end(),
                                    [](const Elf64_Phdr& one) { return one.p_type == PT_GNU_EH_FRAME; });
    if (found == segments.end()) return false;
    const auto bytes = file_.table_at<std::byte>(found->p_offset, found->p_filesz, entry_read);
    Cursor header(bytes, found->p_vaddr);
    const auto version = header.take<std::uint8_t>(), frames = header.take<std::uint8_t>(),
               counts = header.take<std::uint8_t>(), rows = header.take<std::uint8_t>();
    constexpr std::uint8_t usual_rows = relative_to_header | form_s4;
    if (!version || *version != 1 || !rows || *rows != usual_rows || *frames == omitted || *counts == omitted)
      return false;
    header.take_pointer(*frames, found->p_vaddr);
    const auto count = header.take_pointer(*counts, found->p_vaddr);
    if (!count || *count == 0 || *count > found->p_filesz / sizeof(Row)) return false;
    const std::uint64_t table = found->p_offset + (header.address() - found->p_vaddr);
    for (const std::uint64_t address : addresses_) look_up(address, *found, table, *count);
    return true;
  }

  /// All of them; false if they are more than is read.
  bool by_reading(FileRange range) {
    const auto address = file_.address_of(range.offset);
    if (!address) return true;
    BlockReader reader(file_, range, largest_kept);
    std::map<std::uint64_t, Kind> kinds;
    std::uint64_t next = range.offset;
    while (const auto block = reader.next()) {
      const std::uint64_t end = block->offset + block->bytes.size();
      const bool last = end >= range.offset + range.size;
      // An entry is read when its beginning is whole, or nothing follows.
      while (next >= block->offset && next < end && (last || end - next >= entry_read)) {
        const auto bytes = block->bytes.subspan(static_cast<std::size_t>(next - block->offset));
        Cursor content(bytes.first(std::min(bytes.size(), entry_read)), *address + (next - range.offset));
        const auto entry = content.take<Entry>();
        if (!entry || entry->size == large || entry->size == 0) return true;
        const std::uint64_t reference_at = next + behind_size;
        if (entry->reference == 0) {
          if (kinds.size() == kinds_limit) return false;
          if (const auto kind = read_kind(content)) kinds.emplace(next, *kind);
        } else if (const auto kind = kinds.find(reference_at - entry->reference); kind != kinds.end()) {
          if (const auto piece = read_piece(content, kind->second)) keep(*piece);
        }
        next = reference_at + entry->size;
      }
    }
    return true;
  }

  std::vector<CodePiece> take() {
    std::sort(pieces_.begin(), pieces_.end(),
              [](const CodePiece& a, const CodePiece& b) { return a.range.begin < b.range.begin; });
    pieces_.erase(std::unique(pieces_.begin(), pieces_.end()), pieces_.end());
    return std::move(pieces_);
  }

 private:
  static constexpr std::size_t largest_kept = entry_read;
  struct Row {
    std::int32_t begin = 0;  ///< both relative to the header
    std::int32_t entry = 0;
  };

  /// The last row that begins at the address or before.
  void look_up(std::uint64_t address, const Elf64_Phdr& header, std::uint64_t table, std::uint64_t count) {
    const auto row_at = [&](std::uint64_t number) { return file_.value_at<Row>(table + number * sizeof(Row)); };
    const auto absolute = [&](std::int32_t relative) {
      return header.p_vaddr + static_cast<std::uint64_t>(std::int64_t{relative});
    };
    std::uint64_t low = 0, high = count;
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      const auto row = row_at(middle);
      if (!row) return;
      if (absolute(row->begin) <= address)
        low = middle + 1;
      else
        high = middle;
    }
    if (low == 0) return;
    const auto row = row_at(low - 1);
    if (!row) return;
    if (const auto piece = piece_of(absolute(row->entry)); piece && piece->range.contains(address))
      pieces_.push_back(*piece);
  }

  [[nodiscard]] std::optional<CodePiece> piece_of(std::uint64_t entry_address) const {
    const auto offset = file_.offset_of(entry_address);
    if (!offset) return std::nullopt;
    const auto bytes = file_.table_at<std::byte>(*offset, entry_read, entry_read);
    Cursor content(bytes, entry_address);
    const auto entry = content.take<Entry>();
    if (!entry || entry->size == large || entry->size == 0 || entry->reference == 0) return std::nullopt;
    const auto kind_bytes = file_.table_at<std::byte>(*offset + behind_size - entry->reference, entry_read, entry_read);
    Cursor kind_content(kind_bytes, 0);
    const auto kind_entry = kind_content.take<Entry>();
    if (!kind_entry || kind_entry->reference != 0) return std::nullopt;
    const auto kind = read_kind(kind_content);
    return kind ? read_piece(content, *kind) : std::nullopt;
  }

  void keep(const CodePiece& piece) {
    const auto first = std::lower_bound(addresses_.begin(), addresses_.end(), piece.range.begin);
    if (first != addresses_.end() && piece.range.contains(*first) && pieces_.size() < pieces_limit())
      pieces_.push_back(piece);
  }
  /// Pieces do not overlap, so no honest file has more.
  [[nodiscard]] std::size_t pieces_limit() const { return addresses_.size(); }

  const ElfFile& file_;
  std::vector<std::uint64_t> addresses_;
  std::vector<CodePiece> pieces_{};
};

}  // namespace

Result<std::vector<CodePiece>> pieces_at(const ElfFile& file, std::vector<std::uint64_t> addresses) {
  Lookup lookup(file, std::move(addresses));
  if (lookup.by_header()) return lookup.take();
  const FileRange table = file.section(".eh_frame");
  if (table.size == 0) return Error{"it has no unwind tables"};
  if (table.size > table_limit || !lookup.by_reading(table))
    return Error{fmt::format("its unwind tables are too large: {} MiB", table.size >> 20)};
  return lookup.take();
}

}  // namespace inferscope::discover
