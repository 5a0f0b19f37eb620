#include "web/route_tree.hpp"

#include "web/route_index.hpp"

#include "web/pattern.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace genever::web::detail {
namespace {

class table {
public:
    void add(const std::string& pattern) {
        names_.push_back(tree_.insert(pattern, static_cast<std::uint32_t>(patterns_.size())));
        patterns_.push_back(pattern);
    }
    explicit table(std::initializer_list<const char*> patterns) {
        for (const char* p : patterns) add(p);
    }
    table() = default;

    /// "pattern name=value name=value", or "-".
    std::string find(std::string_view wanted) const {
        // In memory of exactly its size, so that AddressSanitizer sees a lookup that reads on.
        const std::vector<char> bytes(wanted.begin(), wanted.end());
        const std::string_view path{bytes.data(), bytes.size()};
        path_params params;
        const auto r = index().find(path, params);
        if (!r) return "-";
        std::string out = patterns_[*r];
        EXPECT_EQ(params.size(), names_[*r].size()) << path;
        for (std::size_t i = 0; i < params.size(); ++i)
            out += " " + names_[*r][i] + "=" + std::string{params[i]};
        return out;
    }
    const route_index& index() const {
        if (indexed_ != patterns_.size()) {
            index_ = route_index{tree_};
            indexed_ = patterns_.size();
        }
        return index_;
    }
    const std::vector<std::string>& patterns() const { return patterns_; }

private:
    route_tree tree_;
    mutable route_index index_; // of the first `indexed_`
    mutable std::size_t indexed_ = 0;
    std::vector<std::string> patterns_;
    std::vector<std::vector<std::string>> names_;
};

std::string error_of(table& t, const std::string& pattern) {
    try {
        t.add(pattern);
    } catch (const std::invalid_argument& e) {
        return e.what();
    }
    return "";
}

TEST(RouteTree, MatchesOneWholeSegmentForAParameter) {
    const table t{"/user/:name"};
    EXPECT_EQ(t.find("/user/gordon"), "/user/:name name=gordon");
    EXPECT_EQ(t.find("/user/you"), "/user/:name name=you");
    EXPECT_EQ(t.find("/user/gordon/profile"), "-");
    EXPECT_EQ(t.find("/user/"), "-");
    EXPECT_EQ(t.find("/user"), "-");
    EXPECT_EQ(t.find("/user//"), "-");
}

TEST(RouteTree, MatchesTheWholeRestForAWildcardWithItsSlash) {
    const table t{"/src/*filepath"};
    EXPECT_EQ(t.find("/src/"), "/src/*filepath filepath=/");
    EXPECT_EQ(t.find("/src/somefile.go"), "/src/*filepath filepath=/somefile.go");
    EXPECT_EQ(t.find("/src/subdir/somefile.go"), "/src/*filepath filepath=/subdir/somefile.go");
    EXPECT_EQ(t.find("/src"), "-");
    EXPECT_EQ(t.find("/srcs"), "-");
}

TEST(RouteTree, MatchesAWildcardBehindAParameter) {
    const table t{"/user/:name", "/user/:name/*action", "/user/groups"};
    EXPECT_EQ(t.find("/user/john"), "/user/:name name=john");
    EXPECT_EQ(t.find("/user/john/"), "/user/:name/*action name=john action=/");
    EXPECT_EQ(t.find("/user/john/send/now"), "/user/:name/*action name=john action=/send/now");
    EXPECT_EQ(t.find("/user/groups"), "/user/groups");
    EXPECT_EQ(t.find("/user/groups/x"), "/user/:name/*action name=groups action=/x");
}

TEST(RouteTree, PrefersAStaticSegmentOverAParameterInAnyOrderOfRegistration) {
    for (const auto& order : {std::vector<const char*>{"/user/:name", "/user/groups"},
                              std::vector<const char*>{"/user/groups", "/user/:name"}}) {
        table t;
        for (const char* p : order) t.add(p);
        EXPECT_EQ(t.find("/user/groups"), "/user/groups");
        EXPECT_EQ(t.find("/user/group"), "/user/:name name=group");
        EXPECT_EQ(t.find("/user/groupsies"), "/user/:name name=groupsies");
    }
}

TEST(RouteTree, TakesBackAChoiceThatLeadsNowhere) {
    const table t{"/:a/b/c",  "/x/:b/d",       "/x/y/e",           "/cmd/:tool/:sub", "/cmd/vet/",
                  "/cmd/go/", "/get/test/abc", "/get/:param/abc/", "/w/:a/*rest",     "/w/z/w"};
    EXPECT_EQ(t.find("/x/y/e"), "/x/y/e");
    EXPECT_EQ(t.find("/x/y/d"), "/x/:b/d b=y");
    EXPECT_EQ(t.find("/x/b/c"), "/:a/b/c a=x");
    EXPECT_EQ(t.find("/x/y/z"), "-");
    EXPECT_EQ(t.find("/w/z/w"), "/w/z/w");
    EXPECT_EQ(t.find("/w/z/q"), "/w/:a/*rest a=z rest=/q");
    EXPECT_EQ(t.find("/cmd/vet/x"), "/cmd/:tool/:sub tool=vet sub=x");
    EXPECT_EQ(t.find("/cmd/vet/"), "/cmd/vet/");
    EXPECT_EQ(t.find("/get/test/abc"), "/get/test/abc");
    EXPECT_EQ(t.find("/get/test/abc/"), "/get/:param/abc/ param=test");
}

TEST(RouteTree, AllowsAParameterAtTheEndOfASegment) {
    const table t{"/user_:name", "/user_x", "/id:id", "/id/:id", "/:top"};
    EXPECT_EQ(t.find("/user_x"), "/user_x");
    EXPECT_EQ(t.find("/user_xy"), "/user_:name name=xy");
    EXPECT_EQ(t.find("/user_"), "/:top top=user_");
    EXPECT_EQ(t.find("/id7"), "/id:id id=7");
    EXPECT_EQ(t.find("/id/7"), "/id/:id id=7");
}

TEST(RouteTree, MatchesTheRootAndNothingElseForASlash) {
    const table t{"/"};
    EXPECT_EQ(t.find("/"), "/");
    EXPECT_EQ(t.find(""), "-");
    EXPECT_EQ(t.find("*"), "-");
    EXPECT_EQ(t.find("//"), "-");
}

TEST(RouteTree, LetsAWildcardAtTheRootTakeEverything) {
    const table t{"/*all"};
    EXPECT_EQ(t.find("/"), "/*all all=/");
    EXPECT_EQ(t.find("/a//b/"), "/*all all=/a//b/");
    EXPECT_EQ(t.find("a"), "-");
}

TEST(RouteTree, TakesEscapedMarksLiterally) {
    const table t{R"(/jobs/:id/tasks\:cancel)", R"(/star\*)", R"(/back\\slash)"};
    EXPECT_EQ(t.find("/jobs/7/tasks:cancel"), R"(/jobs/:id/tasks\:cancel id=7)");
    EXPECT_EQ(t.find("/star*"), R"(/star\*)");
    EXPECT_EQ(t.find(R"(/back\slash)"), R"(/back\\slash)");
}

TEST(RouteTree, GivesViewsIntoThePath) {
    const table t{"/a/:b/*c"};
    const std::string path = "/a/bb/cc";
    path_params params;
    ASSERT_TRUE(t.index().find(path, params));
    EXPECT_EQ(params[0].data(), path.data() + 3);
    EXPECT_EQ(params[1].data(), path.data() + 5);
}

TEST(RouteTree, RejectsConflictsNamingBothPatterns) {
    struct row {
        const char* first;
        const char* second;
        const char* about;
    };
    const row rows[] = {
        {"/a", "/a", "registered already"},
        {"/a/:b", "/a/:b", "registered already"},
        {"/a/*b", "/a/*b", "registered already"},
        {"/foo/:name", "/foo/:names", "is called ':name' there"},
        {"/cmd/:tool/:sub", "/cmd/:bad/details", "is called ':tool' there"},
        {"/cmd/:tool/:sub", "/cmd/:tool/:badsub/details", "is called ':sub' there"},
        {"/user_:name", "/user_:other", "is called ':name' there"},
        {"/cmd/:tool", "/cmd/*path", "everything below the same slash"},
        {"/src/*path", "/src/:file", "everything below the same slash"},
        {"/src/*path", "/src/static.json", "everything below the same slash"},
        {"/src/*path", "/src/*other", "is called '*path' there"},
        {"/src/*path", "/src/", "everything below the same slash"},
        {"/src/", "/src/*path", "everything below the same slash"},
        {"/src/foo/bar", "/src/*path", "everything below the same slash"},
        {"/", "/*all", "everything below the same slash"},
        {"/*all", "/a", "everything below the same slash"},
        {"/a/:b/c", "/a/:b/*c", "everything below the same slash"},
    };
    for (const row& r : rows) {
        table t{r.first};
        const std::string message = error_of(t, r.second);
        EXPECT_NE(message.find(std::string{"'"} + r.first + "'"), message.npos) << message;
        EXPECT_NE(message.find(std::string{"'"} + r.second + "'"), message.npos) << message;
        EXPECT_NE(message.find(r.about), message.npos) << message;
    }
}

TEST(RouteTree, AcceptsWhatOnlyLooksLikeAConflict) {
    table t{"/cmd/:tool/:sub", "/cmd/vet",       "/cmd/:tool/names",
            "/con:nection",    "/con/:x",        "/src",
            "/src/*path",      "/users/:id",     "/users/:id/posts/:pid",
            "/other/:name",    "/search/:query", "/search/valid"};
    EXPECT_EQ(t.find("/src"), "/src");
    EXPECT_EQ(t.find("/src/"), "/src/*path path=/");
    EXPECT_EQ(t.find("/cmd/vet"), "/cmd/vet");
    EXPECT_EQ(t.find("/cmd/vet/names"), "/cmd/:tool/names tool=vet");
}

TEST(RouteTree, KeepsItsRoutesWhenARegistrationFails) {
    table t{"/source/one", "/src/:a/x"};
    EXPECT_NE(error_of(t, "/src/:b"), "");
    EXPECT_NE(error_of(t, "/*all"), "");
    EXPECT_NE(error_of(t, "/src/*all"), "");
    EXPECT_NE(error_of(t, "/sou:x:y"), "");
    EXPECT_EQ(t.find("/source/one"), "/source/one");
    EXPECT_EQ(t.find("/src/1/x"), "/src/:a/x a=1");
    EXPECT_EQ(t.find("/src/1"), "-");
    EXPECT_EQ(t.find("/s"), "-");
}

TEST(RouteTree, RejectsMalformedPatterns) {
    const std::pair<const char*, const char*> rows[] = {
        {"", "must begin with '/'"},     {"ping", "must begin with '/'"},
        {":a", "must begin with '/'"},   {"/a//b", "empty segment"},
        {"/:", "needs a name"},          {"/a/:/b", "needs a name"},
        {"/a/*", "needs a name"},        {"/:a:b", "end of its segment"},
        {"/:a*b", "end of its segment"}, {"/*a*b", "end of its segment"},
        {"/*a/b", "last segment"},       {"/a*b", "beginning of its segment"},
        {"/:a/:a", "occurs twice"},      {"/:a/*a", "occurs twice"},
    };
    for (const auto& [pattern, about] : rows) {
        table t;
        const std::string message = error_of(t, pattern);
        EXPECT_NE(message.find(about), message.npos) << pattern << ": " << message;
        EXPECT_NE(message.find(std::string{"'"} + pattern + "'"), message.npos) << message;
    }
}

TEST(RouteTree, TakesSixteenParametersAndNoMore) {
    std::string pattern;
    std::string path;
    for (char c = 'a'; c < 'a' + 16; ++c) {
        pattern += std::string{"/:"} + c;
        path += std::string{"/"} + c;
    }
    table t;
    EXPECT_EQ(error_of(t, pattern), "");
    EXPECT_NE(t.find(path), "-");
    table u;
    EXPECT_NE(error_of(u, pattern + "/:q").find("more than 16"), std::string::npos);
}

// --- segments as the index compares them: their first and last eight bytes, and what is between ---

/// Different from `s` in one byte.
std::string changed(std::string s, std::size_t i) {
    s[i] = static_cast<char>(s[i] ^ 1);
    return s;
}

TEST(RouteTree, TellsSegmentsApartThatDifferInOneByte) {
    for (std::size_t size = 1; size <= 40; ++size) {
        const std::string segment(size, 'q');
        table t;
        t.add("/" + segment + "/end");
        t.add("/in/" + segment);
        for (std::size_t i = 0; i < size; i += 2) t.add("/in/" + changed(segment, i));
        EXPECT_EQ(t.find("/" + segment + "/end"), "/" + segment + "/end");
        EXPECT_EQ(t.find("/in/" + segment), "/in/" + segment);
        for (std::size_t i = 0; i < size; ++i) {
            EXPECT_EQ(t.find("/" + changed(segment, i) + "/end"), "-");
            EXPECT_EQ(t.find("/in/" + changed(segment, i)),
                      i % 2 == 0 ? "/in/" + changed(segment, i) : std::string{"-"});
        }
        EXPECT_EQ(t.find("/" + segment + "q/end"), "-");
        EXPECT_EQ(t.find("/in/" + segment + "q"), "-");
        EXPECT_EQ(t.find("/in/" + segment.substr(1)), "-");
    }
}

TEST(RouteTree, DoesNotTakeTheEndForAZeroByte) {
    const std::string zero(1, '\0');
    table t{"/a", "/b/:x"};
    t.add("/c" + zero);
    t.add("/long/enough/d" + zero);
    EXPECT_EQ(t.find("/a" + zero), "-");
    EXPECT_EQ(t.find("/c"), "-");
    EXPECT_EQ(t.find("/c" + zero), "/c" + zero);
    EXPECT_EQ(t.find("/long/enough/d"), "-");
    EXPECT_EQ(t.find("/long/enough/d" + zero), "/long/enough/d" + zero);
    EXPECT_EQ(t.find("/b/" + zero), "/b/:x x=" + zero);
}

TEST(RouteTree, FindsEachOfManySiblings) {
    for (const std::size_t siblings : {1u, 2u, 3u, 4u, 5u, 8u, 9u, 100u, 1000u}) {
        table t{"/s/:any"};
        for (std::size_t i = 0; i < siblings; ++i) t.add("/s/" + std::to_string(i));
        for (std::size_t i = 0; i < siblings; ++i)
            EXPECT_EQ(t.find("/s/" + std::to_string(i)), "/s/" + std::to_string(i));
        EXPECT_EQ(t.find("/s/none"), "/s/:any any=none");
        EXPECT_EQ(t.find("/s/"), "-");
    }
}

TEST(RouteTree, FindsEachOfManySiblingsThatBeginAndEndAlike) {
    table t;
    for (int i = 100; i < 200; ++i) t.add("/settings" + std::to_string(i) + "settings/:id");
    for (int i = 100; i < 200; ++i) {
        const std::string segment = "/settings" + std::to_string(i) + "settings/";
        EXPECT_EQ(t.find(segment + "7"), segment + ":id id=7");
    }
    EXPECT_EQ(t.find("/settings200settings/7"), "-");
}

TEST(RouteTree, TakesPathsOfAnyLength) {
    const table t{"/:a/:b", "/:a/:b/*rest"};
    for (std::size_t a = 1; a < 140; a += 3) {
        for (std::size_t b = 1; b < 140; ++b) {
            const std::string first(a, 'a');
            const std::string second(b, 'b');
            const std::string path = "/" + first + "/" + second;
            const std::string values = " a=" + first + " b=" + second;
            EXPECT_EQ(t.find(path), "/:a/:b" + values);
            EXPECT_EQ(t.find(path + "/"), "/:a/:b/*rest" + values + " rest=/");
        }
    }
}

TEST(RouteTree, TakesBackOneChoiceAfterTheOther) {
    // Each `a` may be the literal or the parameter; only parameters all the way lead to the end.
    table t;
    std::string literal;
    std::string params;
    std::string path;
    std::string values;
    for (int depth = 0; depth < 16; ++depth) {
        const std::string name = "p" + std::to_string(depth);
        t.add(params + "/a/x");
        t.add(literal + "/a/:" + name + "/y");
        t.add(params + "/a:" + name + "/z");
        literal += "/a";
        params += "/:" + name;
        path += "/a";
        values += " " + name + "=a";
    }
    t.add(params);
    EXPECT_EQ(t.find(path), params + values);
    EXPECT_EQ(t.find(path + "/b"), "-");
    EXPECT_EQ(t.find("/a/a/y"), "/a/:p0/y p0=a");
    EXPECT_EQ(t.find("/ab/z"), "/a:p0/z p0=b");
    EXPECT_EQ(t.find("/ab/x"), "-");
    EXPECT_EQ(t.find("/b/ac/z"), "/:p0/a:p1/z p0=b p1=c");
}

TEST(RouteTree, TriesTheLongestTextBeforeAParameterFirst) {
    const table t{"/:a/1", "/x:b/2", "/xy:c/3", "/xyz:d/4", "/xyzw/5"};
    EXPECT_EQ(t.find("/xyzw/5"), "/xyzw/5");
    EXPECT_EQ(t.find("/xyzw/4"), "/xyz:d/4 d=w");
    EXPECT_EQ(t.find("/xyzw/3"), "/xy:c/3 c=zw");
    EXPECT_EQ(t.find("/xyzw/2"), "/x:b/2 b=yzw");
    EXPECT_EQ(t.find("/xyzw/1"), "/:a/1 a=xyzw");
    EXPECT_EQ(t.find("/xyz/4"), "-");
    EXPECT_EQ(t.find("/xy/2"), "/x:b/2 b=y");
}

// --- against a matcher that is too simple to be wrong ---

using pieces = std::vector<pattern_piece>;

/// Matches one pattern: there is only one way in which it can. Gives the parameters' values.
std::optional<std::vector<std::string>> match_alone(const pieces& pattern, std::string_view path) {
    std::vector<std::string> values;
    for (const pattern_piece& p : pattern) {
        switch (p.kind) {
        case pattern_piece::type::literal:
            if (!path.starts_with(p.text)) return std::nullopt;
            path.remove_prefix(p.text.size());
            break;
        case pattern_piece::type::param: {
            const std::string_view value = path.substr(0, path.find('/'));
            if (value.empty()) return std::nullopt;
            values.emplace_back(value);
            path.remove_prefix(value.size());
            break;
        }
        case pattern_piece::type::wildcard:
            if (!path.starts_with('/')) return std::nullopt;
            values.emplace_back(path);
            path = {};
            break;
        }
    }
    if (!path.empty()) return std::nullopt;
    return values;
}

/// A pattern such that, of two that match the same path, the one whose rank is smaller wins: literal
/// characters first, then parameters, then wildcards.
std::string rank(const pieces& pattern) {
    std::string r;
    for (const pattern_piece& p : pattern) {
        if (p.kind == pattern_piece::type::literal)
            r += std::string(p.text.size(), 'a');
        else
            r += p.kind == pattern_piece::type::param ? 'b' : 'c';
    }
    return r;
}

TEST(RouteTree, AgreesWithTryingEveryPatternInTurn) {
    std::mt19937 random{20231105};
    const auto pick = [&](std::size_t n) { return random() % n; };
    // Short ones that begin alike, and some around the lengths of a word and of two.
    const char* literals[] = {"a",
                              "b",
                              "ab",
                              "abc",
                              "ba",
                              "a-b",
                              "abcdefg",
                              "abcdefgh",
                              "abcdefgx",
                              "abcdefghi",
                              "xbcdefgh",
                              "abcdefghabcdefgh",
                              "abcdefghabcdefghi",
                              "abcdefgh-abcdefghi"};
    const auto literal = [&] { return std::string{literals[pick(pick(2) == 0 ? 6 : std::size(literals))]}; };

    std::size_t hits = 0;
    std::size_t rejected = 0;
    for (int round = 0; round < 3000; ++round) {
        table t;
        std::vector<pieces> parsed;
        const std::size_t patterns = 1 + pick(25);
        while (parsed.size() < patterns) {
            std::string p;
            const std::size_t segments = 1 + pick(4);
            for (std::size_t s = 0; s < segments; ++s) {
                p += '/';
                // One name at each depth: most patterns then get past the check for other names.
                const std::string name = "p" + std::to_string(s);
                switch (pick(7)) {
                case 0:
                case 1: p += ":" + name; break;
                case 2: p += literal() + ":" + name; break;
                case 3:
                    if (s + 1 == segments) {
                        p += "*" + name;
                        break;
                    }
                    [[fallthrough]];
                default: p += literal();
                }
            }
            if (pick(8) == 0 && !p.contains('*')) p += '/';
            const bool known = std::ranges::find(t.patterns(), p) != t.patterns().end();
            try {
                t.add(p);
                EXPECT_FALSE(known) << p;
                parsed.push_back(parse_pattern(p));
            } catch (const std::invalid_argument&) {
                if (++rejected % 50 == 0) break;
            }
        }

        for (int i = 0; i < 60; ++i) {
            std::string path;
            const std::size_t segments = 1 + pick(5);
            for (std::size_t s = 0; s < segments; ++s) {
                path += '/';
                if (pick(12) != 0) path += literal();
                if (pick(6) == 0) path += literal();
            }
            if (pick(6) == 0) path += '/';

            std::string expected = "-";
            std::string best;
            for (std::size_t n = 0; n < parsed.size(); ++n) {
                const auto values = match_alone(parsed[n], path);
                if (!values) continue;
                const std::string r = rank(parsed[n]);
                if (expected != "-" && r >= best) continue;
                best = r;
                expected = t.patterns()[n];
                std::size_t v = 0;
                for (const pattern_piece& p : parsed[n])
                    if (p.kind != pattern_piece::type::literal)
                        expected += " " + p.text + "=" + (*values)[v++];
            }
            hits += expected != "-";
            ASSERT_EQ(t.find(path), expected) << path << " in round " << round;
        }
    }
    // The generator must not have drifted into trying nothing.
    EXPECT_GT(hits, 20'000u);
    EXPECT_GT(rejected, 1'000u);
}

} // namespace
} // namespace genever::web::detail
