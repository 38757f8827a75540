// A list through the objects that stand in it: nothing is allocated, and an object leaves from
// wherever it stands.
#pragma once

#include <cstddef>

namespace egalaxyd {

/// Of objects with members `previous` and `next`, null while outside. An object is in one such list
/// at most, and leaves it before it goes.
template <class T>
class IntrusiveList {
 public:
  T* front() const { return front_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void append(T& object) {
    object.previous = back_;
    (back_ != nullptr ? back_->next : front_) = &object;
    back_ = &object;
    ++size_;
  }
  void remove(T& object) {
    (object.previous != nullptr ? object.previous->next : front_) = object.next;
    (object.next != nullptr ? object.next->previous : back_) = object.previous;
    object.previous = object.next = nullptr;
    --size_;
  }

 private:
  T* front_ = nullptr;
  T* back_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace egalaxyd
