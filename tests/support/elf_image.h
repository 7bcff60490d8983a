// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace inferscope::test {

/// An ELF file's section headers, each changed so.
template <class Change>
std::string with_sections(std::string content, Change&& change) {
  Elf64_Ehdr header{};
  std::memcpy(&header, content.data(), sizeof(header));
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    char* at = content.data() + header.e_shoff + i * sizeof(Elf64_Shdr);
    Elf64_Shdr section{};
    std::memcpy(&section, at, sizeof(section));
    change(section);
    std::memcpy(at, &section, sizeof(section));
  }
  return content;
}

/// A small ELF file for x86-64, as a linker would lay it out.
struct ElfImage {
  struct Function {
    std::string name{};
    std::string code = "\xc3";  ///< ret
    bool defined = true;        ///< false: imported
    std::uint8_t type = STT_FUNC;
    std::uint64_t size = 1;
  };
  enum class Hash { gnu, sysv, none };
  /// Of the table of Go functions, by the first version that had it.
  enum class Go { v1_2, v1_16, v1_18, v1_20 };

  std::vector<Function> exported{};  ///< .dynsym
  std::vector<Function> named{};     ///< .symtab; none: the file is stripped
  std::vector<Function> in_go{};     ///< .gopclntab
  Go go_table = Go::v1_20;
  bool go_code_begin = true;  ///< the table tells where code begins
  std::string constants{};    ///< .rodata
  Hash hash = Hash::gnu;
  std::uint64_t base = 0;  ///< the address for which it is linked; 0: any
  bool sections = true;    ///< false: it was cut down to what is loaded

  static std::uint32_t gnu_hash(std::string_view name) {
    std::uint32_t value = 5381;
    for (const char c : name) value = (value << 5) + value + static_cast<unsigned char>(c);
    return value;
  }
  static std::uint32_t sysv_hash(std::string_view name) {
    std::uint32_t value = 0;
    for (const char c : name) {
      value = (value << 4) + static_cast<unsigned char>(c);
      value = (value ^ ((value & 0xf0000000u) >> 24)) & 0x0fffffffu;
    }
    return value;
  }

  [[nodiscard]] std::string build() const { return Builder(*this).build(); }

 private:
  /// Code lies this much further on in memory than in the file.
  static constexpr std::uint64_t code_shift = 0x1000;

  class Builder {
   public:
    explicit Builder(const ElfImage& image) : image_(image), exported_(image.exported) {}

    std::string build() {
      constexpr std::uint16_t segments = 3;
      file_.assign(sizeof(Elf64_Ehdr) + segments * sizeof(Elf64_Phdr), '\0');
      // What is imported comes first, then what is in the hash table, by its bucket.
      std::stable_sort(exported_.begin(), exported_.end(),
                       [](const Function& a, const Function& b) { return order(a) < order(b); });
      std::string code = std::string(64, '\xcc');
      const auto dynamic_symbols = symbols_of(exported_, dynamic_texts_, code);
      const auto named_symbols = symbols_of(image_.named, named_texts_, code);
      std::string ignored;
      const auto go_symbols = symbols_of(image_.in_go, ignored, code);
      const std::uint64_t hash = add(image_.hash == Hash::sysv ? sysv_table() : gnu_table());
      // Written once it is known where the code begins.
      const std::uint64_t symbols = add(std::string(dynamic_symbols.size() * sizeof(Elf64_Sym), '\0'));
      const std::uint64_t texts = add(dynamic_texts_);
      const std::uint64_t dynamic = file_.size();
      const auto entry = [&](std::int64_t tag, std::uint64_t value) {
        Elf64_Dyn one{};
        one.d_tag = tag;
        one.d_un.d_val = value;
        append(file_, one);
      };
      if (image_.hash != Hash::none) entry(image_.hash == Hash::gnu ? DT_GNU_HASH : DT_HASH, image_.base + hash);
      entry(DT_SYMTAB, image_.base + symbols);
      entry(DT_STRTAB, image_.base + texts);
      entry(DT_NULL, 0);
      const std::uint64_t dynamic_size = file_.size() - dynamic;
      const std::uint64_t constants = add(image_.constants);
      const std::uint64_t data_size = file_.size();
      const std::uint64_t code_at = add(code);
      place(dynamic_symbols, symbols, code_at);
      put_segment(0, PT_LOAD, PF_R, 0, 0, data_size);
      put_segment(1, PT_LOAD, PF_R | PF_X, code_at, code_shift, code.size());
      put_segment(2, PT_DYNAMIC, PF_R, dynamic, 0, dynamic_size);

      Elf64_Ehdr header{};
      std::memcpy(header.e_ident, ELFMAG, SELFMAG);
      header.e_ident[EI_CLASS] = ELFCLASS64;
      header.e_ident[EI_DATA] = ELFDATA2LSB;
      header.e_ident[EI_VERSION] = EV_CURRENT;
      header.e_type = image_.base == 0 ? ET_DYN : ET_EXEC;
      header.e_machine = EM_X86_64;
      header.e_version = EV_CURRENT;
      header.e_ehsize = sizeof(Elf64_Ehdr);
      header.e_phoff = sizeof(Elf64_Ehdr);
      header.e_phentsize = sizeof(Elf64_Phdr);
      header.e_phnum = segments;
      if (image_.sections) add_sections(header, named_symbols, go_symbols, code_at, code.size(), constants);
      std::memcpy(file_.data(), &header, sizeof(header));
      return file_;
    }

   private:
    static constexpr std::uint32_t buckets = 2;
    static std::uint32_t order(const Function& function) {
      return function.defined ? 1 + gnu_hash(function.name) % buckets : 0;
    }

    template <class T>
    static void append(std::string& text, const T& value) {
      static_assert(std::is_trivially_copyable_v<T>);
      text.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    std::uint64_t add(const std::string& bytes) {
      file_.resize((file_.size() + 15) / 16 * 16);
      file_ += bytes;
      return file_.size() - bytes.size();
    }

    /// Values are places in the code so far. The first symbol of a table is none.
    static std::vector<Elf64_Sym> symbols_of(const std::vector<Function>& functions, std::string& texts,
                                             std::string& code) {
      std::vector<Elf64_Sym> symbols(1);
      texts.assign(1, '\0');
      for (const Function& function : functions) {
        Elf64_Sym symbol{};
        // As linkers do, a text that is the end of another one is not written twice.
        std::size_t at = texts.find(function.name + '\0');
        if (at == std::string::npos) {
          at = texts.size();
          texts += function.name + '\0';
        }
        symbol.st_name = static_cast<std::uint32_t>(at);
        symbol.st_info = static_cast<unsigned char>(ELF64_ST_INFO(STB_GLOBAL, function.type));
        if (function.defined) {
          symbol.st_shndx = 1;
          symbol.st_value = code.size();
          symbol.st_size = function.size;
          code += function.code;
        }
        symbols.push_back(symbol);
      }
      return symbols;
    }

    void place(std::vector<Elf64_Sym> symbols, std::uint64_t at, std::uint64_t code_at) {
      for (Elf64_Sym& symbol : symbols)
        if (symbol.st_shndx != SHN_UNDEF) symbol.st_value += image_.base + code_at + code_shift;
      std::memcpy(file_.data() + at, symbols.data(), symbols.size() * sizeof(Elf64_Sym));
    }

    [[nodiscard]] std::string gnu_table() const {
      const auto first = static_cast<std::uint32_t>(
          1 + std::count_if(exported_.begin(), exported_.end(), [](const Function& one) { return !one.defined; }));
      constexpr std::uint32_t shift = 6;
      std::uint64_t filter = 0;
      std::uint32_t starts[buckets] = {};
      std::vector<std::uint32_t> chain;
      for (std::uint32_t index = first; index <= exported_.size(); ++index) {
        const std::uint32_t hash = gnu_hash(exported_[index - 1].name);
        filter |= std::uint64_t{1} << hash % 64 | std::uint64_t{1} << (hash >> shift) % 64;
        if (starts[hash % buckets] == 0) starts[hash % buckets] = index;
        const bool last = index == exported_.size() || order(exported_[index]) != order(exported_[index - 1]);
        chain.push_back((hash & ~1u) | (last ? 1u : 0u));
      }
      std::string table;
      for (const std::uint32_t value : {buckets, first, 1u, shift}) append(table, value);
      append(table, filter);
      append(table, starts);
      for (const std::uint32_t value : chain) append(table, value);
      return table;
    }

    [[nodiscard]] std::string sysv_table() const {
      const auto count = static_cast<std::uint32_t>(1 + exported_.size());
      std::uint32_t starts[buckets] = {};
      std::vector<std::uint32_t> chain(count);
      for (std::uint32_t index = 1; index < count; ++index) {
        std::uint32_t& start = starts[sysv_hash(exported_[index - 1].name) % buckets];
        chain[index] = start;
        start = index;
      }
      std::string table;
      append(table, buckets);
      append(table, count);
      append(table, starts);
      for (const std::uint32_t value : chain) append(table, value);
      return table;
    }

    void put_segment(std::size_t number, std::uint32_t type, std::uint32_t rights, std::uint64_t offset,
                     std::uint64_t shift, std::uint64_t size) {
      Elf64_Phdr segment{};
      segment.p_type = type;
      segment.p_flags = rights;
      segment.p_offset = offset;
      segment.p_vaddr = segment.p_paddr = image_.base + offset + shift;
      segment.p_filesz = segment.p_memsz = size;
      std::memcpy(file_.data() + sizeof(Elf64_Ehdr) + number * sizeof(segment), &segment, sizeof(segment));
    }

    [[nodiscard]] std::string go_table(const std::vector<Elf64_Sym>& symbols, std::uint64_t code,
                                       std::uint64_t end) const {
      const bool is_short = image_.go_table >= Go::v1_18;
      const bool oldest = image_.go_table == Go::v1_2;
      constexpr std::uint32_t magics[] = {0xfffffffb, 0xfffffffa, 0xfffffff0, 0xfffffff1};
      const std::uint64_t count = image_.in_go.size();
      const auto put = [&](std::string& to, std::uint64_t value) {
        if (is_short)
          append(to, static_cast<std::uint32_t>(value));
        else
          append(to, value);
      };
      std::string names(1, '\0');
      std::vector<std::uint64_t> places;
      for (const Function& function : image_.in_go) {
        places.push_back(names.size());
        names += function.name + '\0';
      }
      const std::uint64_t pair = is_short ? 8 : 16;
      const std::uint64_t header = oldest ? 16 : is_short ? 72 : 64;
      const std::uint64_t entries_size = count * pair + pair / 2;
      const std::uint64_t description_size = 24;
      // The oldest has names behind all, the others before; there, descriptions count from the entries.
      const std::uint64_t entries_at = oldest ? header : header + names.size();
      const std::uint64_t names_at = oldest ? header + entries_size + count * description_size : header;
      std::string table;
      append(table, magics[static_cast<int>(image_.go_table)]);
      append(table, std::uint32_t{0x08010000});
      append(table, count);
      if (!oldest) {
        append(table, std::uint64_t{0});
        if (is_short) append(table, image_.go_code_begin ? code : std::uint64_t{0});
        append(table, names_at);
        for (int i = 0; i < 3; ++i) append(table, std::uint64_t{0});
        append(table, entries_at);
        table += names;
      }
      const std::uint64_t base = is_short ? code : 0;
      for (std::uint64_t i = 0; i < count; ++i) {
        put(table, code + symbols[i + 1].st_value - base);
        put(table, (oldest ? header : 0) + entries_size + i * description_size);
      }
      put(table, code + end - base);
      for (std::uint64_t i = 0; i < count; ++i) {
        std::string description;
        put(description, code + symbols[i + 1].st_value - base);
        append(description, static_cast<std::uint32_t>(places[i] + (oldest ? names_at : 0)));
        description.resize(description_size);
        table += description;
      }
      return oldest ? table + names : table;
    }

    void add_sections(Elf64_Ehdr& header, const std::vector<Elf64_Sym>& named, const std::vector<Elf64_Sym>& in_go,
                      std::uint64_t code_at, std::uint64_t code_size, std::uint64_t constants) {
      std::vector<Elf64_Shdr> sections(1);
      std::string names(1, '\0');
      const auto section = [&](const char* name, std::uint32_t type, std::uint64_t offset, std::uint64_t size) {
        Elf64_Shdr one{};
        one.sh_name = static_cast<std::uint32_t>(names.size());
        (names += name) += '\0';
        one.sh_type = type;
        one.sh_offset = offset;
        one.sh_size = size;
        sections.push_back(one);
      };
      const std::uint64_t code_address = image_.base + code_at + code_shift;
      section(".rodata", SHT_PROGBITS, constants, image_.constants.size());
      section(".text", SHT_PROGBITS, code_at, code_size);
      sections.back().sh_addr = code_address;
      if (!image_.in_go.empty()) {
        const std::string table = go_table(in_go, code_address, code_size);
        section(".gopclntab", SHT_PROGBITS, add(table), table.size());
      }
      if (!image_.named.empty()) {
        const std::uint64_t size = named.size() * sizeof(Elf64_Sym);
        const std::uint64_t symbols = add(std::string(size, '\0'));
        place(named, symbols, code_at);
        section(".symtab", SHT_SYMTAB, symbols, size);
        sections.back().sh_entsize = sizeof(Elf64_Sym);
        sections.back().sh_link = static_cast<std::uint32_t>(sections.size());
        section(".strtab", SHT_STRTAB, add(named_texts_), named_texts_.size());
      }
      section(".shstrtab", SHT_STRTAB, 0, 0);
      sections.back().sh_offset = add(names);
      sections.back().sh_size = names.size();
      std::string table;
      for (const Elf64_Shdr& one : sections) append(table, one);
      header.e_shoff = add(table);
      header.e_shentsize = sizeof(Elf64_Shdr);
      header.e_shnum = static_cast<std::uint16_t>(sections.size());
      header.e_shstrndx = static_cast<std::uint16_t>(sections.size() - 1);
    }

    const ElfImage& image_;
    std::vector<Function> exported_;
    std::string file_{};
    std::string dynamic_texts_{};
    std::string named_texts_{};
  };
};

}  // namespace inferscope::test
