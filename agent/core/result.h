// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace inferscope {

/// What went wrong and what the reader can do about it. Both parts are shown to the user.
struct Error {
  enum class Kind { failed, usage, not_permitted };

  std::string cause;
  std::string remedy{};
  Kind kind = Kind::failed;

  [[nodiscard]] std::string text() const { return remedy.empty() ? cause : cause + "; " + remedy; }
};

/// A value or an Error. Never throws by itself: reading the wrong side is a programming error that the standard
/// library's variant check turns into a crash rather than undefined behaviour.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(content_); }
  const T& value() const& { return std::get<0>(content_); }
  T&& value() && { return std::get<0>(std::move(content_)); }
  [[nodiscard]] const Error& error() const { return std::get<1>(content_); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> content_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status success() {
  return Unit{};
}

}  // namespace inferscope
