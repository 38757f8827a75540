// Which process listens on a port: for the message that tells an operator why a start failed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace egalaxyd {

/// Whatever listens on TCP `port`, on any address: "process 1234 (agate)" as far as /proc shows it
/// to this process, else "another process"; and what to do about it. `options`: those that choose
/// another address.
std::string describePortHolder(std::uint16_t port, std::string_view options);

}  // namespace egalaxyd
