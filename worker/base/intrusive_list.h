// A doubly linked list whose links are members of its objects: nothing is allocated, and any object
// can be removed in constant time.
#pragma once

#include <cstddef>

namespace egalaxyd {

/// For objects with members `previous` and `next`, which are null outside a list. An object is in
/// at most one such list, and is removed from it before it is destroyed.
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
