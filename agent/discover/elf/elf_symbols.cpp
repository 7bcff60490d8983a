// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/elf_symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>

#include "discover/elf/byte_search.h"

namespace inferscope::discover {
namespace {

constexpr std::size_t dynamic_entries_read = 512;
constexpr std::size_t chain_read = 4096;
constexpr std::size_t block = 256u << 10;
constexpr std::uint64_t texts_limit = 128u << 20;
constexpr std::uint64_t symbols_limit = 96u << 20;  // bytes
constexpr std::size_t places_limit = 4096;

std::optional<ElfFunction> function_of(const ElfFile& file, const Elf64_Sym& symbol) {
  if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) return std::nullopt;
  if (symbol.st_value == 0 || symbol.st_size == 0) return std::nullopt;
  const auto offset = file.offset_of_code(symbol.st_value);
  if (!offset || !file.value_at<std::byte>(*offset)) return std::nullopt;
  return ElfFunction{*offset, symbol.st_size};
}

std::uint32_t gnu_hash_of(std::string_view name) {
  std::uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
  return hash;
}

std::uint32_t sysv_hash_of(std::string_view name) {
  std::uint32_t hash = 0;
  for (const char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    const std::uint32_t high = hash & 0xf0000000u;
    hash = (hash ^ (high >> 24)) & ~high;
  }
  return hash;
}

/// The tables that the dynamic linker uses.
class DynamicSymbols {
 public:
  explicit DynamicSymbols(const ElfFile& file) : file_(file) {
    const FileRange range = file.dynamic_table();
    const auto entries = file.table_at<Elf64_Dyn>(range.offset, range.size / sizeof(Elf64_Dyn), dynamic_entries_read);
    for (const Elf64_Dyn& entry : entries) {
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_SYMTAB) symbols_ = file.offset_of(entry.d_un.d_ptr);
      if (entry.d_tag == DT_STRTAB) texts_ = file.offset_of(entry.d_un.d_ptr);
      if (entry.d_tag == DT_GNU_HASH) gnu_ = file.offset_of(entry.d_un.d_ptr);
      if (entry.d_tag == DT_HASH) sysv_ = file.offset_of(entry.d_un.d_ptr);
    }
    if (gnu_) gnu_header_ = file.value_at<GnuHeader>(*gnu_).value_or(GnuHeader{});
    if (sysv_) sysv_header_ = file.value_at<SysvHeader>(*sysv_).value_or(SysvHeader{});
  }

  [[nodiscard]] std::optional<ElfFunction> find(std::string_view name) const {
    if (!symbols_ || !texts_) return std::nullopt;
    return gnu_ ? find_by_gnu_hash(name) : find_by_sysv_hash(name);
  }

 private:
  struct GnuHeader {
    std::uint32_t buckets = 0;
    std::uint32_t first_symbol = 0;  ///< those before are not in the table: they are imported
    std::uint32_t filter_words = 0;
    std::uint32_t filter_shift = 0;
  };
  struct SysvHeader {
    std::uint32_t buckets = 0;
    std::uint32_t symbols = 0;
  };

  [[nodiscard]] std::optional<ElfFunction> find_by_gnu_hash(std::string_view name) const {
    const GnuHeader& header = gnu_header_;
    if (header.buckets == 0 || header.filter_words == 0) return std::nullopt;
    const std::uint32_t hash = gnu_hash_of(name);
    const std::uint64_t filter = *gnu_ + sizeof(header);
    const auto word = file_.value_at<std::uint64_t>(filter + std::uint64_t{hash / 64 % header.filter_words} * 8);
    const auto bit = [](std::uint32_t number) { return std::uint64_t{1} << number % 64; };
    const std::uint64_t bits = bit(hash) | bit(hash >> header.filter_shift % 32);
    if (!word || (*word & bits) != bits) return std::nullopt;
    const std::uint64_t buckets = filter + std::uint64_t{header.filter_words} * 8;
    const auto first = file_.value_at<std::uint32_t>(buckets + std::uint64_t{hash % header.buckets} * 4);
    if (!first || *first < header.first_symbol) return std::nullopt;
    const std::uint64_t chain = buckets + std::uint64_t{header.buckets} * 4;
    for (std::uint64_t index = *first; index < *first + chain_read; ++index) {
      const auto link = file_.value_at<std::uint32_t>(chain + (index - header.first_symbol) * 4);
      if (!link) return std::nullopt;
      if ((*link | 1) == (hash | 1))
        if (const auto function = function_at(index, name)) return function;
      if ((*link & 1) != 0) return std::nullopt;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<ElfFunction> find_by_sysv_hash(std::string_view name) const {
    const SysvHeader& header = sysv_header_;
    if (header.buckets == 0) return std::nullopt;
    const std::uint64_t buckets = *sysv_ + sizeof(header);
    const std::uint64_t chain = buckets + std::uint64_t{header.buckets} * 4;
    auto index = file_.value_at<std::uint32_t>(buckets + std::uint64_t{sysv_hash_of(name) % header.buckets} * 4);
    for (std::size_t step = 0; index && *index != STN_UNDEF && step < chain_read; ++step) {
      if (const auto function = function_at(*index, name)) return function;
      index = file_.value_at<std::uint32_t>(chain + std::uint64_t{*index} * 4);
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<ElfFunction> function_at(std::uint64_t index, std::string_view name) const {
    const auto symbol = file_.value_at<Elf64_Sym>(*symbols_ + index * sizeof(Elf64_Sym));
    if (!symbol) return std::nullopt;
    const auto text = file_.table_at<char>(*texts_ + symbol->st_name, name.size() + 1, name.size() + 1);
    if (text.size() != name.size() + 1 || text.back() != '\0' || !std::equal(name.begin(), name.end(), text.begin()))
      return std::nullopt;
    return function_of(file_, *symbol);
  }

  const ElfFile& file_;
  std::optional<std::uint64_t> symbols_{}, texts_{}, gnu_{}, sysv_{};
  GnuHeader gnu_header_{};
  SysvHeader sysv_header_{};
};

/// A name's place among the texts of a symbol table, by which symbols refer to it.
struct Place {
  std::uint64_t offset = 0;
  std::string_view name{};
};

/// Sorted. Names are also found as the ends of longer texts, since linkers let symbols share them.
std::vector<Place> places_of(const std::vector<std::string_view>& names, const ElfFile& file, const FileRange& texts) {
  std::vector<std::string> ended;
  for (const std::string_view name : names)
    if (name.size() >= ByteSearch::shortest) ended.push_back(std::string(name) + '\0');
  if (ended.empty()) return {};
  const ByteSearch search({ended.begin(), ended.end()});
  std::vector<Place> places;
  for (const ByteSearch::Place& one : find_texts(search, file, texts, places_limit)) {
    const std::string_view text = ended[one.text];
    const auto name = std::find(names.begin(), names.end(), text.substr(0, text.size() - 1));
    places.push_back({one.offset, *name});
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.offset < b.offset; });
  return places;
}

void find_at(const std::vector<Place>& places, const ElfFile& file, const FileRange& symbols, ElfFunctions& found) {
  constexpr std::size_t at_once = block / sizeof(Elf64_Sym);
  constexpr std::size_t looked_at_most = 4096;  // that have the names and are no functions
  std::size_t looked_at = 0;
  const std::uint64_t count = symbols.size / sizeof(Elf64_Sym);
  for (std::uint64_t at = 0; at < count;) {
    const auto table = file.table_at<Elf64_Sym>(symbols.offset + at * sizeof(Elf64_Sym), count - at, at_once);
    if (table.empty()) return;
    for (const Elf64_Sym& symbol : table) {
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
      const auto place = std::lower_bound(places.begin(), places.end(), symbol.st_name,
                                          [](const Place& one, std::uint64_t offset) { return one.offset < offset; });
      if (place == places.end() || place->offset != symbol.st_name || found.contains(place->name)) continue;
      if (++looked_at > looked_at_most) return;
      if (const auto function = function_of(file, symbol)) found.emplace(place->name, *function);
    }
    at += table.size();
  }
}

}  // namespace

ElfFunctions exported_functions(const ElfFile& file, const std::vector<std::string_view>& names) {
  ElfFunctions found;
  const DynamicSymbols symbols(file);
  for (const std::string_view name : names)
    if (const auto function = symbols.find(name)) found.emplace(name, *function);
  return found;
}

Result<ElfFunctions> static_functions(const ElfFile& file, const std::vector<std::string_view>& names) {
  ElfFunctions found;
  const auto sections = file.sections();
  const auto table = std::find_if(sections.begin(), sections.end(), [&](const Elf64_Shdr& section) {
    return section.sh_type == SHT_SYMTAB && section.sh_entsize == sizeof(Elf64_Sym) &&
           section.sh_link < sections.size();
  });
  if (table == sections.end()) return found;
  const Elf64_Shdr& texts = sections[table->sh_link];
  if (texts.sh_size > texts_limit || table->sh_size > symbols_limit)
    return Error{fmt::format("its symbol table is not searched, since it is too large: {} MiB",
                             (texts.sh_size >> 20) + (table->sh_size >> 20))};
  const auto places = places_of(names, file, {texts.sh_offset, texts.sh_size});
  if (!places.empty()) find_at(places, file, {table->sh_offset, table->sh_size}, found);
  return found;
}

}  // namespace inferscope::discover
