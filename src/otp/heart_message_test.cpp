#include "otp/heart_message.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

using namespace genever::detail;

namespace {

struct line {
    line() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0); }
    ~line() {
        close(ends[0]);
        if (ends[1] >= 0) close(ends[1]);
    }
    line(const line&) = delete;
    line& operator=(const line&) = delete;

    int heart() const { return ends[0]; }
    int service() const { return ends[1]; }

    int ends[2];
};

socket_address loopback(std::uint16_t port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return {reinterpret_cast<const sockaddr*>(&a), sizeof a};
}

} // namespace

TEST(HeartMessage, ArrivesAsItWasSentAndInOrder) {
    const line l;
    heart_message m;
    EXPECT_EQ(take_message(l.heart(), m), got::nothing);
    EXPECT_TRUE(send_message(l.service(), {heart_word::listen, 7, 128, 0, loopback(80)}, true));
    EXPECT_TRUE(send_message(l.service(), {heart_word::alive, 0, 0, 0, {}}, false));
    ASSERT_EQ(take_message(l.heart(), m), got::message);
    EXPECT_EQ(m.word, heart_word::listen);
    EXPECT_EQ(m.serial, 7U);
    EXPECT_EQ(m.backlog, 128);
    EXPECT_TRUE(m.at == loopback(80));
    EXPECT_FALSE(m.at == loopback(81));
    ASSERT_EQ(take_message(l.heart(), m), got::message);
    EXPECT_EQ(m.word, heart_word::alive);
    EXPECT_EQ(take_message(l.heart(), m), got::nothing);
}

TEST(HeartMessage, ThatIsMalformedIsPassedOver) {
    const line l;
    heart_message no_address{heart_word::listen, 1, 8, 0, {}};
    EXPECT_TRUE(send_message(l.service(), no_address, true));
    heart_message cut{heart_word::closed, 1, 8, 0, loopback(80)};
    cut.at.size = 4;
    EXPECT_TRUE(send_message(l.service(), cut, true));
    EXPECT_EQ(write(l.service(), "short", 5), 5);
    const std::string endless(1000, 'x');
    EXPECT_EQ(write(l.service(), endless.data(), endless.size()), 1000);
    EXPECT_TRUE(send_message(l.service(), {heart_word::ready, 0, 0, 0, {}}, true));
    heart_message m;
    ASSERT_EQ(take_message(l.heart(), m), got::message);
    EXPECT_EQ(m.word, heart_word::ready);
}

TEST(HeartMessage, AnswersCarryADescriptorOrTheReasonWhyNot) {
    const line l;
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    EXPECT_TRUE(send_answer(l.heart(), {7, 0}, pipe_ends[1]));
    EXPECT_TRUE(send_answer(l.heart(), {8, EACCES}, -1));
    close(pipe_ends[1]);
    heart_answer a;
    int fd = -1;
    ASSERT_TRUE(take_answer(l.service(), a, fd));
    EXPECT_EQ(a.serial, 7U);
    EXPECT_EQ(a.error, 0);
    ASSERT_GE(fd, 0);
    EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(write(fd, "x", 1), 1);
    char c = 0;
    EXPECT_EQ(read(pipe_ends[0], &c, 1), 1);
    close(fd);
    close(pipe_ends[0]);
    ASSERT_TRUE(take_answer(l.service(), a, fd));
    EXPECT_EQ(a.serial, 8U);
    EXPECT_EQ(a.error, EACCES);
    EXPECT_EQ(fd, -1);
}

TEST(HeartMessage, TheOthersEndIsSeen) {
    line l;
    EXPECT_TRUE(send_message(l.service(), {heart_word::ended, 0, 0, 0, {}}, true));
    close(l.ends[1]);
    l.ends[1] = -1;
    heart_message m;
    EXPECT_EQ(take_message(l.heart(), m), got::message); // what it has said before is heard
    EXPECT_EQ(take_message(l.heart(), m), got::end);
    EXPECT_FALSE(send_answer(l.heart(), {}, -1));
}
