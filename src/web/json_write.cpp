#include "web/json_write.hpp"

#include "web/utf8.hpp"

#include <boost/json/serializer.hpp>

#include <algorithm>

namespace genever::web::detail {

void append_json(std::string& out, const boost::json::value& v) {
    boost::json::serializer writer;
    writer.reset(&v);
    const std::size_t start = out.size();
    // A fresh string gets room for a small answer; one that has been used before has it already.
    std::size_t room = std::max<std::size_t>(out.capacity() - start, 256);
    while (!writer.done()) {
        const std::size_t used = out.size();
        out.resize_and_overwrite(
            used + room, [&](char* p, std::size_t) { return used + writer.read(p + used, room).size(); });
        room = std::max<std::size_t>(out.size(), 256);
    }
    if (!is_ascii(std::string_view{out}.substr(start))) repair_utf8(out, start);
}

} // namespace genever::web::detail
