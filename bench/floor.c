/* The floor: what the kernel takes for the recorder's work, with nothing around it.
 *
 *     floor FOLDER FIRST_PORT WARM_MS WINDOW_MS ROUND_MS TICKS
 *
 * Reads streams from standard input, a line each, two neighbouring lines a call: the port of the stream's source. It
 * opens the sockets on free ports from FIRST_PORT on (RTP connected to its source, RTCP beside it, never read) and a
 * file a call in FOLDER, and prints the RTP ports. Then it visits as the recorder's sweep does: a round of ROUND_MS in
 * TICKS ticks, each of a share of the calls; a visit is recvmmsg until the socket is empty, and one write of what came,
 * end to end.
 *
 * The CPU is measured for WINDOW_MS, beginning WARM_MS after the first packet. It ends when nothing came for a second
 * and prints one line of JSON.
 *
 * Not here: receive times, parsing, sealing. It is a yardstick, no recorder.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    AT_ONCE = 64,           /* datagrams a recvmmsg, as the sweep */
    ROWS = 512,             /* a call's rows of one visit: five seconds of two streams */
    ROW_BYTES = 512,        /* 60 ms of G.711 and its header */
    MOST_STREAMS = 1 << 16
};
static const int64_t SILENCE_NS = 1000000000, FIRST_NS = 60000000000;

static int sockets[MOST_STREAMS], files[MOST_STREAMS / 2];
static uint8_t rows[ROWS][ROW_BYTES], together[ROWS * ROW_BYTES];
static struct iovec parts[ROWS];
static struct mmsghdr messages[ROWS];
static long packets, window_packets, writes_failed;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* -1 where somebody else has the port. */
static int open_socket(unsigned port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    here.sin_port = htons((uint16_t)port);
    if (bind(fd, (void *)&here, sizeof here)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Opens the next free pair of ports from `port` on; gives the one after it. */
static unsigned open_pair(unsigned stream, unsigned port, unsigned source)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (; port < 65534; port += 2) {
        int rtp = open_socket(port), rtcp = rtp < 0 ? -1 : open_socket(port + 1);
        if (rtcp < 0) {
            if (rtp >= 0) close(rtp);
            continue;
        }
        there.sin_port = htons((uint16_t)source);
        if (connect(rtp, (void *)&there, sizeof there)) die("connect");
        sockets[stream] = rtp;
        printf("%u ", port);
        return port + 2;
    }
    fprintf(stderr, "no free ports\n");
    exit(1);
}

static unsigned open_all(const char *folder, unsigned port)
{
    unsigned count = 0, source;
    char path[4096];
    while (scanf("%u", &source) == 1) {
        if (count == MOST_STREAMS) {
            fprintf(stderr, "more than %d streams\n", MOST_STREAMS);
            exit(1);
        }
        port = open_pair(count, port, source);
        if (count % 2 == 0) {
            snprintf(path, sizeof path, "%s/%u", folder, count / 2);
            files[count / 2] = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
            if (files[count / 2] < 0) die(path);
        }
        count++;
    }
    puts("");
    fflush(stdout);
    return count;
}

static unsigned receive(int fd, unsigned row)
{
    while (row < ROWS) {
        unsigned most = ROWS - row < AT_ONCE ? ROWS - row : AT_ONCE;
        int got = recvmmsg(fd, messages + row, most, MSG_DONTWAIT, NULL);
        if (got > 0) row += (unsigned)got;
        if (got < (int)most) break;
    }
    return row;
}

static void visit(unsigned call)
{
    unsigned count = receive(sockets[2 * call + 1], receive(sockets[2 * call], 0));
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(together + bytes, rows[i], messages[i].msg_len);
        bytes += messages[i].msg_len;
    }
    if (bytes && write(files[call], together, bytes) != (ssize_t)bytes) writes_failed++;
    packets += count;
}

int main(int count, char **words)
{
    struct rlimit limit;
    if (count != 7) {
        fprintf(stderr, "floor FOLDER FIRST_PORT WARM_MS WINDOW_MS ROUND_MS TICKS\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int64_t warm_ns = atoll(words[3]) * 1000000, window_ns = atoll(words[4]) * 1000000;
    int64_t round_ns = atoll(words[5]) * 1000000, ticks = atoll(words[6]);
    unsigned calls = open_all(words[1], (unsigned)atoi(words[2])) / 2, cursor = 0, share = (calls + (unsigned)ticks - 1) / (unsigned)ticks;
    for (unsigned i = 0; i < ROWS; i++) {
        parts[i] = (struct iovec){.iov_base = rows[i], .iov_len = ROW_BYTES};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }

    int64_t due = now_ns(), first = 0, last = due;
    double window_cpu_s = 0, begin_cpu_s = 0;
    long begin_packets = 0;
    enum { BEFORE, DURING, AFTER } phase = BEFORE;
    for (;;) {
        due += round_ns / ticks;
        struct timespec at = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        int64_t now = now_ns();
        if (phase == BEFORE && first && now >= first + warm_ns) {
            phase = DURING;
            begin_cpu_s = cpu_s();
            begin_packets = packets;
        } else if (phase == DURING && now >= first + warm_ns + window_ns) {
            phase = AFTER;
            window_cpu_s = cpu_s() - begin_cpu_s;
            window_packets = packets - begin_packets;
        }
        long before = packets;
        for (unsigned i = 0; i < share && cursor < calls; i++) visit(cursor++);
        if (cursor >= calls) cursor = 0;
        if (packets > before) {
            last = now;
            if (!first) first = now;
        }
        if (now - last > (first ? SILENCE_NS : FIRST_NS)) break;
    }
    printf("{\"packets\": %ld, \"window_packets\": %ld, \"window_cpu_s\": %.6f, \"writes_failed\": %ld}\n", packets,
           window_packets, window_cpu_s, writes_failed);
    return phase != AFTER;
}
