#include "worker/upload/change_teller.h"

#include <chrono>
#include <utility>

namespace egalaxyd {

ChangeTeller::ChangeTeller(EventLoop& loop, std::unique_ptr<DatabaseLink> link)
    : link_(std::move(link)), lane_(loop, {"teller", 1, 1}) {}

void ChangeTeller::tell() {
  again_ = telling_;
  if (std::exchange(telling_, true)) return;
  lane_.submit(
      [link = link_]() -> Result<void> {
        if (auto told = link->tellOfChanges(); !told) return told;
        return link->waitForChanges(std::chrono::milliseconds(0), -1);  // its own word, and others'
      },
      [this](const Result<void>&) {
        telling_ = false;
        if (again_) tell();
      });
}

}  // namespace egalaxyd
