// Writing to a descriptor that may take a part at a time. Blocking.
#pragma once

#include <string_view>

namespace egalaxyd {

/// 0, or the errno of the write that failed.
int writeAll(int fd, std::string_view bytes);

}  // namespace egalaxyd
