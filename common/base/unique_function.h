// A callable that may own move-only things; std::move_only_function arrives with C++23.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace egalaxyd {

template <class Signature>
class UniqueFunction;

/// Holds one callable on the heap. Calling an empty one is a programming error.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;

  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction>) UniqueFunction(F&& f)
      : target_(std::make_unique<Holder<std::remove_cvref_t<F>>>(std::forward<F>(f))) {}

  explicit operator bool() const { return target_ != nullptr; }
  R operator()(Args... args) { return target_->call(std::forward<Args>(args)...); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual R call(Args&&... args) = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : f_(std::move(f)) {}
    R call(Args&&... args) override { return f_(std::forward<Args>(args)...); }
    F f_;
  };

  std::unique_ptr<Base> target_;
};

}  // namespace egalaxyd
