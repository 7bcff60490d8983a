// SPDX-License-Identifier: Apache-2.0
#include "discover/elf/elf_file.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace inferscope::discover {
namespace {

constexpr std::size_t sections_read = 4096;
constexpr std::size_t segments_read = 1024;
constexpr std::size_t notes_read = 4096;
constexpr std::size_t section_names_read = 64u << 10;

bool is_for_us(const Elf64_Ehdr& header) {
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
         header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine == EM_X86_64;
}

}  // namespace

std::optional<ElfFile> ElfFile::open(ReadAt read) {
  Elf64_Ehdr header{};
  if (read(0, std::as_writable_bytes(std::span(&header, 1))) != sizeof(header) || !is_for_us(header))
    return std::nullopt;
  ElfFile file(std::move(read), header);
  if (header.e_phentsize == sizeof(Elf64_Phdr))
    file.segments_ = file.table_at<Elf64_Phdr>(header.e_phoff, header.e_phnum, segments_read);
  return file;
}

std::optional<std::uint64_t> ElfFile::offset_of(std::uint64_t address, std::uint32_t rights) const {
  const auto has = [&](const Elf64_Phdr& segment) {
    return segment.p_type == PT_LOAD && (segment.p_flags & rights) == rights && address >= segment.p_vaddr &&
           address - segment.p_vaddr < segment.p_filesz;
  };
  const auto found = std::find_if(segments_.begin(), segments_.end(), has);
  if (found == segments_.end()) return std::nullopt;
  return found->p_offset + (address - found->p_vaddr);
}

std::optional<std::uint64_t> ElfFile::address_of(std::uint64_t offset) const {
  const auto found = std::find_if(segments_.begin(), segments_.end(), [&](const Elf64_Phdr& segment) {
    return segment.p_type == PT_LOAD && offset >= segment.p_offset && offset - segment.p_offset < segment.p_filesz;
  });
  if (found == segments_.end()) return std::nullopt;
  return found->p_vaddr + (offset - found->p_offset);
}

std::vector<Elf64_Phdr> ElfFile::code() const {
  std::vector<Elf64_Phdr> code;
  std::copy_if(segments_.begin(), segments_.end(), std::back_inserter(code),
               [](const Elf64_Phdr& segment) { return segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0; });
  return code;
}

FileRange ElfFile::dynamic_table() const {
  const auto found = std::find_if(segments_.begin(), segments_.end(),
                                  [](const Elf64_Phdr& segment) { return segment.p_type == PT_DYNAMIC; });
  return found == segments_.end() ? FileRange{} : FileRange{found->p_offset, found->p_filesz};
}

std::string ElfFile::build_id() const {
  using namespace std::string_view_literals;
  constexpr std::string_view owner = "GNU\0"sv;
  const auto aligned = [](std::uint32_t size) { return (std::size_t{size} + 3) / 4 * 4; };
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_NOTE) continue;
    const auto bytes = table_at<char>(segment.p_offset, segment.p_filesz, notes_read);
    std::string_view left(bytes.data(), bytes.size());
    Elf64_Nhdr note{};
    while (left.size() >= sizeof(note)) {
      std::memcpy(&note, left.data(), sizeof(note));
      left.remove_prefix(sizeof(note));
      const std::size_t name = aligned(note.n_namesz), content = aligned(note.n_descsz);
      if (left.size() < name || left.size() - name < content) break;
      if (note.n_type == NT_GNU_BUILD_ID && left.substr(0, note.n_namesz) == owner)
        return std::string(left.substr(name, note.n_descsz));
      left.remove_prefix(name + content);
    }
  }
  return {};
}

std::vector<Elf64_Shdr> ElfFile::sections() const {
  if (header_.e_shoff == 0 || header_.e_shentsize != sizeof(Elf64_Shdr)) return {};
  std::uint64_t count = header_.e_shnum;
  if (count == 0) {  // more than the header can tell
    const auto first = value_at<Elf64_Shdr>(header_.e_shoff);
    count = first ? first->sh_size : 0;
  }
  return table_at<Elf64_Shdr>(header_.e_shoff, count, sections_read);
}

FileRange ElfFile::section(std::string_view name) const {
  const auto header = section_header(name);
  return header && header->sh_type != SHT_NOBITS ? FileRange{header->sh_offset, header->sh_size} : FileRange{};
}

std::optional<Elf64_Shdr> ElfFile::section_header(std::string_view name) const {
  const auto all = sections();
  if (header_.e_shstrndx >= all.size()) return std::nullopt;
  const Elf64_Shdr& table = all[header_.e_shstrndx];
  const auto names = table_at<char>(table.sh_offset, table.sh_size, section_names_read);
  const std::string_view text(names.data(), names.size());
  for (const Elf64_Shdr& one : all) {
    if (one.sh_name >= text.size()) continue;
    const std::string_view rest = text.substr(one.sh_name);
    if (rest.substr(0, rest.find('\0')) == name) return one;
  }
  return std::nullopt;
}

}  // namespace inferscope::discover
