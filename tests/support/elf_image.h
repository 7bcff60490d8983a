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

  std::vector<Function> exported{};  ///< .dynsym
  std::vector<Function> named{};     ///< .symtab; none: the file is stripped
  std::string constants{};           ///< .rodata
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
      if (image_.sections) add_sections(header, named_symbols, code_at, constants);
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

    void add_sections(Elf64_Ehdr& header, const std::vector<Elf64_Sym>& named, std::uint64_t code_at,
                      std::uint64_t constants) {
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
      section(".rodata", SHT_PROGBITS, constants, image_.constants.size());
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
