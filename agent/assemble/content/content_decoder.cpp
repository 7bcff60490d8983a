// SPDX-License-Identifier: Apache-2.0
#include "assemble/content/content_decoder.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <limits>

#include "assemble/http1/syntax.h"

namespace inferscope::assemble {
namespace {

constexpr std::size_t output_size = 16 * 1024;
constexpr std::size_t largest_step = 1 << 20;  // zlib counts in 32 bits

/// What decoders have in common: steps of bounded output, and the bounds of the whole.
class BoundedDecoder : public ContentDecoder {
 public:
  explicit BoundedDecoder(const Limits& limits) : limits_(limits) {}

  Status feed(std::string_view encoded, DecodedSink& sink) final {
    while (status_ == Status::ok) {
      if (ended_) break;  // nothing belongs to the content after its end
      const std::size_t before = encoded.size();
      std::string_view step_input = encoded.substr(0, largest_step);
      const std::size_t given = step_input.size();
      const std::size_t made = step(step_input);
      const std::size_t taken = given - step_input.size();
      encoded.remove_prefix(taken);
      encoded_ += taken;
      decoded_ += made;
      if (made > 0 && status_ == Status::ok) {
        if (limits_.exceeded(encoded_, decoded_)) {
          status_ = Status::limit;
          break;
        }
        sink.decoded({output_.data(), made});
      }
      if (made == 0 && (encoded.empty() || encoded.size() == before)) break;
    }
    return status_;
  }

 protected:
  /// Takes from the front of `input`, writes to output_, returns how much. May set failed() and ended().
  virtual std::size_t step(std::string_view& input) = 0;

  char* output() { return output_.data(); }
  void failed() { status_ = Status::malformed; }
  void ended() { ended_ = true; }

 private:
  const Limits& limits_;
  Status status_ = Status::ok;
  bool ended_ = false;
  std::uint64_t encoded_ = 0;
  std::uint64_t decoded_ = 0;
  std::array<char, output_size> output_;
};

class ZlibDecoder final : public BoundedDecoder {
 public:
  enum class Format : std::uint8_t { gzip, deflate };

  ZlibDecoder(Format format, const Limits& limits) : BoundedDecoder(limits), undecided_(format == Format::deflate) {
    if (!undecided_) start(gzip_window);
  }
  ~ZlibDecoder() override {
    if (started_) inflateEnd(&stream_);
  }

 private:
  static constexpr int gzip_window = 15 + 16;
  static constexpr int zlib_window = 15;
  static constexpr int raw_window = -15;

  void start(int window) {
    started_ = inflateInit2(&stream_, window) == Z_OK;
    if (!started_) failed();
  }

  std::size_t step(std::string_view& input) override {
    if (undecided_ && !input.empty()) {
      // "deflate" is zlib's format (RFC 1950), but some servers send it without the wrapping.
      start((static_cast<unsigned char>(input[0]) & 0x0f) == Z_DEFLATED ? zlib_window : raw_window);
      undecided_ = false;
    }
    if (!started_) return 0;
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input.data()));  // zlib does not write to it
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(output());
    stream_.avail_out = output_size;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    input.remove_prefix(input.size() - stream_.avail_in);
    if (result == Z_STREAM_END) {
      ended();
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      failed();
    }
    return output_size - stream_.avail_out;
  }

  z_stream stream_{};
  bool started_ = false;
  bool undecided_;
};

class ZstdDecoder final : public BoundedDecoder {
 public:
  explicit ZstdDecoder(const Limits& limits) : BoundedDecoder(limits), stream_(ZSTD_createDStream()) {
    constexpr int largest_window_log = 23;  // 8 MiB, as RFC 9659 bounds it for the web
    if (!stream_ || ZSTD_isError(ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, largest_window_log))) failed();
  }
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }

 private:
  std::size_t step(std::string_view& input) override {
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    ZSTD_outBuffer out{output(), output_size, 0};
    if (ZSTD_isError(ZSTD_decompressStream(stream_, &out, &in))) failed();
    input.remove_prefix(in.pos);
    return out.pos;
  }

  ZSTD_DStream* stream_;
};

class BrotliDecoder final : public BoundedDecoder {
 public:
  explicit BrotliDecoder(const Limits& limits)
      : BoundedDecoder(limits), state_(BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {
    if (!state_) failed();
  }
  ~BrotliDecoder() override {
    if (state_) BrotliDecoderDestroyInstance(state_);
  }

 private:
  std::size_t step(std::string_view& input) override {
    std::size_t in_left = input.size();
    const auto* next_in = reinterpret_cast<const std::uint8_t*>(input.data());
    std::size_t out_left = output_size;
    auto* next_out = reinterpret_cast<std::uint8_t*>(output());
    const auto result = BrotliDecoderDecompressStream(state_, &in_left, &next_in, &out_left, &next_out, nullptr);
    input.remove_prefix(input.size() - in_left);
    if (result == BROTLI_DECODER_RESULT_ERROR) {
      failed();
    } else if (result == BROTLI_DECODER_RESULT_SUCCESS) {
      ended();
    }
    return output_size - out_left;
  }

  BrotliDecoderState* state_;
};

struct Row {
  std::string_view name;
  std::unique_ptr<ContentDecoder> (*make)(const Limits& limits);
};

std::unique_ptr<ContentDecoder> make_gzip(const Limits& limits) {
  return std::make_unique<ZlibDecoder>(ZlibDecoder::Format::gzip, limits);
}

constexpr std::array<Row, 5> rows{{
    {"gzip", make_gzip},
    {"x-gzip", make_gzip},
    {"deflate",
     [](const Limits& limits) -> std::unique_ptr<ContentDecoder> {
       return std::make_unique<ZlibDecoder>(ZlibDecoder::Format::deflate, limits);
     }},
    {"zstd",
     [](const Limits& limits) -> std::unique_ptr<ContentDecoder> { return std::make_unique<ZstdDecoder>(limits); }},
    {"br",
     [](const Limits& limits) -> std::unique_ptr<ContentDecoder> { return std::make_unique<BrotliDecoder>(limits); }},
}};

const Row* find_row(std::string_view content_encoding) {
  const std::string_view name = http1::trim(content_encoding);
  const auto* row =
      std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return http1::equal_ignoring_case(name, r.name); });
  return row == rows.end() ? nullptr : row;
}

}  // namespace

Encoding encoding_of(std::string_view content_encoding) {
  const std::string_view name = http1::trim(content_encoding);
  if (name.empty() || http1::equal_ignoring_case(name, "identity")) return Encoding::identity;
  return find_row(name) ? Encoding::known : Encoding::unknown;
}

std::unique_ptr<ContentDecoder> make_decoder(std::string_view content_encoding, const Limits& limits) {
  const Row* row = find_row(content_encoding);
  return row ? row->make(limits) : nullptr;
}

}  // namespace inferscope::assemble
