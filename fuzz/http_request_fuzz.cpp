// libFuzzer: bytes from a client. Whatever they are, the parser neither crashes nor reads out of bounds, and
// how they are cut into reads does not change what becomes of them. The input's first byte chooses the cuts.
#include "parse_transcript.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);

    // Small limits, so that inputs of a fuzzer's size reach them.
    genever::http::limits limits;
    limits.request_line = 256;
    limits.header_section = 512;
    limits.fields = 8;
    limits.chunk_extensions = 32;
    limits.trailers = 64;
    limits.leading_empty_lines = 2;

    std::vector<std::size_t> cuts;
    const std::size_t step = data[0] % 16 + 1U;
    for (std::size_t at = data[0] / 16 + 1U; at < bytes.size(); at += step) cuts.push_back(at);

    const auto whole = genever::http::transcribe(bytes, {}, limits);
    const auto cut = genever::http::transcribe(bytes, cuts, limits);
    if (whole.text != cut.text || whole.status != cut.status) std::abort();
    return 0;
}
