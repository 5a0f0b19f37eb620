// What code must be compiled with so that a fault in it may become an exception. Without it a destructor could be skipped, and
// nothing in the program would tell; so one such file among those that include Genever turns these exceptions off.
#pragma once

#ifndef GENEVER_NON_CALL_EXCEPTIONS // comes with -fnon-call-exceptions from Genever's CMake targets
namespace genever::detail {
/// From now on no fault becomes an exception in this program. Any thread.
bool refuse_faults() noexcept;
[[gnu::used]] inline const bool faults_are_refused = refuse_faults();
} // namespace genever::detail
#endif
