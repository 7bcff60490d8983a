// SPDX-License-Identifier: Apache-2.0
#include "discover/elf_symbols.h"

#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace inferscope::discover {
namespace {

constexpr std::size_t sections_read = 4096;
constexpr std::size_t segments_read = 1024;
constexpr std::size_t symbols_read = 4u << 20;

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfEnd>;

Error broken(const char* what) {
  const char* why = elf_errmsg(-1);
  return Error{fmt::format("no usable ELF file: {} ({})", what, why != nullptr ? why : "wrong")};
}

/// An address of the program to a place in the file, if it lies in an executable segment.
std::optional<std::uint64_t> offset_of(Elf* elf, std::uint64_t address, std::size_t file_size) {
  std::size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0) return std::nullopt;
  for (std::size_t i = 0; i < std::min(count, segments_read); ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf, static_cast<int>(i), &segment) == nullptr) return std::nullopt;
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || address < segment.p_vaddr) continue;
    const std::uint64_t inside = address - segment.p_vaddr;
    if (inside >= segment.p_filesz || segment.p_offset >= file_size || inside >= file_size - segment.p_offset) continue;
    return segment.p_offset + inside;
  }
  return std::nullopt;
}

void read_symbols(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, const std::set<std::string>& names,
                  std::size_t file_size, std::map<std::string, ElfFunction>& found) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || header.sh_entsize == 0) return;
  const std::size_t count = std::min<std::size_t>(header.sh_size / header.sh_entsize, symbols_read);
  for (std::size_t i = 0; i < count && found.size() < names.size(); ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) return;
    if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
    if (name == nullptr || !names.contains(name)) continue;
    if (const auto offset = offset_of(elf, symbol.st_value, file_size)) found[name] = {*offset, symbol.st_size};
  }
}

}  // namespace

Result<std::map<std::string, ElfFunction>> find_functions(std::span<const std::byte> file,
                                                          const std::set<std::string>& names) {
  elf_version(EV_CURRENT);
  // libelf takes memory that may be written, but reads it only.
  const ElfHandle elf(
      elf_memory(const_cast<char*>(reinterpret_cast<const char*>(file.data())), file.size()));  // NOLINT
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF) return broken("not of the format");
  std::map<std::string, ElfFunction> found;
  for (const unsigned table : {unsigned{SHT_DYNSYM}, unsigned{SHT_SYMTAB}}) {
    Elf_Scn* section = nullptr;
    for (std::size_t i = 0; i < sections_read && (section = elf_nextscn(elf.get(), section)) != nullptr; ++i) {
      GElf_Shdr header;
      if (gelf_getshdr(section, &header) == nullptr) return broken("its sections");
      if (header.sh_type == table) read_symbols(elf.get(), section, header, names, file.size(), found);
    }
    if (!found.empty()) break;
  }
  return found;
}

}  // namespace inferscope::discover
