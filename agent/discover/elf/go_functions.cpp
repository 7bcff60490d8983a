// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/go_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>

#include "discover/elf/byte_search.h"

namespace inferscope::discover {
namespace {

constexpr std::size_t block = 256u << 10;
constexpr std::uint64_t table_read = 256u << 20;  // bytes
constexpr std::uint64_t names_read = 128u << 20;  // bytes
constexpr std::uint64_t functions_read = 4u << 20;
constexpr std::uint64_t relocations_read = 4u << 20;
constexpr std::array section_names{".gopclntab", ".data.rel.ro.gopclntab"};  // the second of executables at any address

/// Values that are asked for in rising order, mostly; reads a block at a time, and no more than some times all.
class Window {
 public:
  Window(const ElfFile& file, FileRange range)
      : file_(file), range_(range), left_(4 * (std::min(range.size, table_read) + block)) {}

  /// Nothing beyond the range, or if too much was read.
  template <class T>
  std::optional<T> at(std::uint64_t place) {
    if (place > range_.size || range_.size - place < sizeof(T)) return std::nullopt;
    if (place < begin_ || place - begin_ + sizeof(T) > bytes_.size()) {
      if (left_ < block) return std::nullopt;
      left_ -= block;
      begin_ = place;
      bytes_ = file_.table_at<std::byte>(range_.offset + place, range_.size - place, block);
      if (bytes_.size() < sizeof(T)) return std::nullopt;
    }
    T value{};
    std::memcpy(&value, bytes_.data() + (place - begin_), sizeof(T));
    return value;
  }

 private:
  const ElfFile& file_;
  FileRange range_;
  std::uint64_t left_;
  std::uint64_t begin_ = 0;
  std::vector<std::byte> bytes_{};
};

/// What the beginning of the table says. Places count from the beginning of the table.
struct Header {
  bool short_entries = false;  ///< pairs of 32 bits that count from where code begins; otherwise pairs of 64 bits
  std::uint64_t functions = 0;
  std::uint64_t code_begin = 0;
  std::uint64_t names = 0;    ///< place from which names count
  std::uint64_t entries = 0;  ///< place of the entries, from which also those of the functions' descriptions count
};

/// "go12magic" and its followers, by the version that brought them.
enum Magic : std::uint32_t { go_1_2 = 0xfffffffb, go_1_16 = 0xfffffffa, go_1_18 = 0xfffffff0, go_1_20 = 0xfffffff1 };

std::optional<Header> read_header(Window& table) {
  const auto magic = table.at<std::uint32_t>(0);
  const auto zeros = table.at<std::uint16_t>(4);
  const auto quantum = table.at<std::uint8_t>(6);
  const auto pointer = table.at<std::uint8_t>(7);
  if (!magic || !zeros || !quantum || !pointer || *zeros != 0 || *quantum != 1 || *pointer != 8) return std::nullopt;
  const auto word = [&](std::uint64_t i) { return table.at<std::uint64_t>(8 + 8 * i).value_or(0); };
  Header header{.functions = word(0)};
  switch (*magic) {
    case go_1_2:
      header.entries = 16;
      return header;
    case go_1_16:
      header.names = word(2);
      header.entries = word(6);
      return header;
    case go_1_18:
    case go_1_20:
      header.short_entries = true;
      header.code_begin = word(2);
      header.names = word(3);
      header.entries = word(7);
      return header;
    default:
      return std::nullopt;
  }
}

/// The names' places, of those that are there: each between other ones' ends.
std::map<std::uint64_t, std::string_view> places_of(const std::vector<std::string_view>& names, const ElfFile& file,
                                                    FileRange texts) {
  std::vector<std::string> whole;
  for (const std::string_view name : names) whole.push_back('\0' + std::string(name) + '\0');
  const ByteSearch search({whole.begin(), whole.end()});
  texts.size = std::min(texts.size, names_read);
  std::map<std::uint64_t, std::string_view> found;
  for (const ByteSearch::Place& place : find_texts(search, file, texts, names.size()))
    found.try_emplace(place.offset + 1, names[place.text]);
  return found;
}

struct Entry {
  std::uint64_t address = 0;
  std::uint64_t description = 0;  ///< its place, from the entries on
};

std::optional<Entry> entry_at(Window& table, const Header& header, std::uint64_t index) {
  if (header.short_entries) {
    const auto pair = table.at<std::array<std::uint32_t, 2>>(header.entries + 8 * index);
    if (!pair) return std::nullopt;
    return Entry{header.code_begin + (*pair)[0], (*pair)[1]};
  }
  const auto pair = table.at<std::array<std::uint64_t, 2>>(header.entries + 16 * index);
  if (!pair) return std::nullopt;
  return Entry{(*pair)[0], (*pair)[1]};
}

/// Of an executable at any address, the loader may write it into the table; newer versions do not tell it there at all.
/// Then Go's code is the first of the program's.
std::optional<std::uint64_t> relocated_code_begin(const ElfFile& file, std::uint64_t table_offset) {
  constexpr std::uint64_t place_in_header = 8 + 2 * 8;
  const auto place = file.address_of(table_offset + place_in_header);
  for (const char* name : {".rela.dyn", ".rela"}) {
    Window relocations(file, file.section(name));
    for (std::uint64_t i = 0; i < relocations_read; ++i) {
      const auto one = relocations.at<Elf64_Rela>(i * sizeof(Elf64_Rela));
      if (!one) break;
      if (ELF64_R_TYPE(one->r_info) == R_X86_64_RELATIVE && one->r_offset == place)
        return static_cast<std::uint64_t>(one->r_addend);
    }
  }
  const auto code = file.section_header(".text");
  if (!code) return std::nullopt;
  return code->sh_addr;
}

Result<ElfFunctions> functions_of(const ElfFile& file, FileRange range, const std::vector<std::string_view>& names) {
  Window entries(file, range), descriptions(file, range);
  auto header = read_header(entries);
  if (!header) return Error{"its table of Go functions is of a version that is not known"};
  if (header->functions > functions_read || header->names >= range.size || header->entries >= range.size)
    return Error{fmt::format("its table of {} Go functions is broken, or larger than what is read", header->functions)};
  if (header->short_entries && header->code_begin == 0) {
    const auto begin = relocated_code_begin(file, range.offset);
    if (!begin) return Error{"where its Go code begins is not told"};
    header->code_begin = *begin;
  }
  // Names of the older tables lie anywhere in them.
  const auto wanted = places_of(names, file, {range.offset + header->names, range.size - header->names});
  // The description's first value is the function's address, the next its name.
  const std::uint64_t name_in_description = header->short_entries ? 4 : 8;
  const std::uint64_t descriptions_begin = header->names == 0 ? 0 : header->entries;
  ElfFunctions found;
  for (std::uint64_t i = 0; i < header->functions && found.size() < wanted.size(); ++i) {
    const auto entry = entry_at(entries, *header, i);
    if (!entry) return Error{"its table of Go functions is cut off"};
    const auto name =
        descriptions.at<std::uint32_t>(descriptions_begin + (entry->description & 0xffffffff) + name_in_description);
    if (!name) return Error{"its table of Go functions is broken"};
    const auto one = wanted.find(*name);
    if (one == wanted.end()) continue;
    const auto next = entry_at(entries, *header, i + 1);  // the last one's end is behind it
    const auto offset = file.offset_of_code(entry->address);
    if (!next || !offset || next->address <= entry->address)
      return Error{"its table of Go functions tells of code that is not there"};
    found[std::string(one->second)] = {*offset, next->address - entry->address};
  }
  return found;
}

}  // namespace

std::optional<Result<ElfFunctions>> go_functions(const ElfFile& file, const std::vector<std::string_view>& names) {
  for (const char* section : section_names)
    if (const FileRange range = file.section(section); range.size > 0) return functions_of(file, range, names);
  return std::nullopt;
}

}  // namespace inferscope::discover
