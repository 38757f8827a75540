// Redirects that would send a client in circles. Pure.
#pragma once

#include "common/config/config.h"

namespace egalaxyd {

/// One complaint for each redirect that leads back to itself, alone or by way of others, within one
/// site or across several. Whatever cannot be decided from the configuration (other servers,
/// plug-ins, paths behind an input) counts as leading somewhere.
Complaints checkRedirects(const Config& config);

}  // namespace egalaxyd
