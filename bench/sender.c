/* The sender: RTP streams to one recorder, as many phone systems would send them together.
 *
 *     sender AUDIO SOURCES RTCP_S
 *
 * AUDIO is a file of G.711 samples that all streams play, each from a place of its own; SOURCES how many sockets send
 * (a stream keeps to one, so that it has one source address); RTCP_S the seconds between a stream's sender reports, 0
 * for none. First it prints "sources" and the sockets' ports. Then it reads streams from standard input, a line each,
 * whenever they come:
 *
 *     ADDRESS PORT PAYLOAD_BYTES PTIME_MS PAYLOAD_TYPE SOURCE PACKETS
 *
 * A stream starts when its line is read, within one packet time. When the input has ended and every stream too, it
 * prints one line of JSON: packets sent and refused by the kernel, reports sent, slots begun too late, its own CPU.
 *
 * Time runs in slots of 1 ms. A slot that comes late is sent at once; none is left out.
 *
 * Not here: SIP, loss, jitter. The wire is perfect, so that what is missing was lost by the recorder.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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
    SLOT_NS = 1000000,
    WHEEL = 128,            /* slots of 1 ms; longer than any packet time */
    BATCH = 64,             /* datagrams a sendmmsg */
    MOST_SOURCES = 16,
    MOST_STREAMS = 1 << 16,
    LATE_NS = 5000000,      /* a slot this late is counted: a real phone system would have sent on time */
    RTP_HEADER_BYTES = 12,
    RATE_PER_MS = 8,        /* G.711: 8,000 samples a second, RFC 3551 section 4.5.14 */
    REPORT_BYTES = 44       /* SR without blocks (28), SDES with a CNAME (16): RFC 3550 section 6.4.1, 6.5 */
};

struct stream {
    struct stream *next;
    struct sockaddr_in to;
    uint32_t ssrc, timestamp, packets_sent, packets_left;
    uint64_t report_slot;
    size_t audio;
    uint16_t sequence, payload_bytes, ptime_ms;
    uint8_t payload_type, source;
};

struct batch {
    int fd;
    unsigned count;
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH][2];
    uint8_t headers[BATCH][RTP_HEADER_BYTES];
};

/* Seconds from 1900, where NTP begins, to 1970. */
static const int64_t UNIX_IN_NTP_S = 2208988800ll;

static struct stream streams[MOST_STREAMS], *wheel[WHEEL], *unused;
static struct batch batches[MOST_SOURCES];
static unsigned sources, used, live;
static uint8_t *audio;
static size_t audio_bytes;
static uint64_t slot, report_slots;
static long sent, failed, reports, late;
static int64_t latest_ns;
static int input_open = 1;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put16(uint8_t *at, uint16_t value) { value = htons(value); memcpy(at, &value, 2); }
static void put32(uint8_t *at, uint32_t value) { value = htonl(value); memcpy(at, &value, 4); }

static void load_audio(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    audio_bytes = (size_t)ftell(file);
    rewind(file);
    audio = malloc(audio_bytes);
    if (!audio || fread(audio, 1, audio_bytes, file) != audio_bytes) die(path);
    fclose(file);
}

static void open_sources(void)
{
    printf("sources");
    for (unsigned i = 0; i < sources; i++) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof here;
        struct batch *batch = &batches[i];
        batch->fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (batch->fd < 0 || bind(batch->fd, (void *)&here, length) || getsockname(batch->fd, (void *)&here, &length))
            die("socket");
        printf(" %u", ntohs(here.sin_port));
        for (unsigned k = 0; k < BATCH; k++) {
            batch->parts[k][0].iov_base = batch->headers[k];
            batch->parts[k][0].iov_len = RTP_HEADER_BYTES;
            batch->messages[k].msg_hdr.msg_iov = batch->parts[k];
            batch->messages[k].msg_hdr.msg_iovlen = 2;
            batch->messages[k].msg_hdr.msg_namelen = sizeof(struct sockaddr_in);
        }
    }
    printf("\n");
    fflush(stdout);
}

static void flush(struct batch *batch)
{
    unsigned done = 0;
    while (done < batch->count) {
        int got = sendmmsg(batch->fd, batch->messages + done, batch->count - done, 0);
        if (got > 0) {
            sent += got;
            done += (unsigned)got;
        } else if (errno != EINTR) {
            failed++;
            done++;
        }
    }
    batch->count = 0;
}

static void report(struct stream *stream)
{
    uint8_t packet[REPORT_BYTES] = {0};
    struct sockaddr_in to = stream->to;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    packet[0] = 0x80, packet[1] = 200;
    put16(packet + 2, 6);
    put32(packet + 4, stream->ssrc);
    put32(packet + 8, (uint32_t)(now.tv_sec + UNIX_IN_NTP_S));
    put32(packet + 12, (uint32_t)(((uint64_t)now.tv_nsec << 32) / 1000000000));
    put32(packet + 16, stream->timestamp);
    put32(packet + 20, stream->packets_sent);
    put32(packet + 24, stream->packets_sent * stream->payload_bytes);
    packet[28] = 0x81, packet[29] = 202;
    put16(packet + 30, 3);
    put32(packet + 32, stream->ssrc);
    packet[36] = 1, packet[37] = 5;
    memcpy(packet + 38, "bench", 5);
    to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + 1));
    if (sendto(batches[stream->source].fd, packet, sizeof packet, 0, (void *)&to, sizeof to) == sizeof packet)
        reports++;
    else
        failed++;
}

static void queue(struct stream *stream)
{
    struct batch *batch = &batches[stream->source];
    unsigned at = batch->count++;
    uint8_t *header = batch->headers[at];
    header[0] = 0x80;
    header[1] = (uint8_t)((stream->packets_sent ? 0 : 0x80) | stream->payload_type);
    put16(header + 2, stream->sequence++);
    put32(header + 4, stream->timestamp);
    put32(header + 8, stream->ssrc);
    if (stream->audio + stream->payload_bytes > audio_bytes) stream->audio = 0;
    batch->parts[at][1].iov_base = audio + stream->audio;
    batch->parts[at][1].iov_len = stream->payload_bytes;
    batch->messages[at].msg_hdr.msg_name = &stream->to;
    stream->audio += stream->payload_bytes;
    stream->timestamp += (uint32_t)stream->ptime_ms * RATE_PER_MS;
    stream->packets_sent++;
    stream->packets_left--;
    if (batch->count == BATCH) flush(batch);
}

static void place(struct stream *stream, uint64_t at)
{
    stream->next = wheel[at % WHEEL];
    wheel[at % WHEEL] = stream;
}

static void add(const char *line)
{
    static uint32_t serial;
    char address[64];
    unsigned port, payload, ptime, type, source, packets;
    struct stream *stream = unused;
    if (sscanf(line, "%63s %u %u %u %u %u %u", address, &port, &payload, &ptime, &type, &source, &packets) != 7 ||
        !ptime || ptime >= WHEEL || payload > audio_bytes || source >= sources || !packets) {
        fprintf(stderr, "no stream: %s\n", line);
        exit(1);
    }
    if (stream)
        unused = stream->next;
    else if (used < MOST_STREAMS)
        stream = &streams[used++];
    else {
        fprintf(stderr, "more than %d streams at once\n", MOST_STREAMS);
        exit(1);
    }
    serial++;
    *stream = (struct stream){
        .to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)},
        .ssrc = serial * 2654435761u,
        .timestamp = serial * 40503u,
        .sequence = (uint16_t)(serial * 7919u),
        .audio = (size_t)serial * 30011u % audio_bytes,
        .packets_left = packets,
        .payload_bytes = (uint16_t)payload,
        .ptime_ms = (uint16_t)ptime,
        .payload_type = (uint8_t)type,
        .source = (uint8_t)source,
        .report_slot = report_slots ? slot + serial * 7u % report_slots : UINT64_MAX,
    };
    if (inet_pton(AF_INET, address, &stream->to.sin_addr) != 1) die(address);
    live++;
    place(stream, slot + 1 + serial * 13u % ptime);
}

static void read_input(void)
{
    static char buffer[1 << 16];
    static size_t held;
    ssize_t got = read(0, buffer + held, sizeof buffer - 1 - held);
    char *line = buffer, *end;
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) die("standard input");
        return;
    }
    input_open = got > 0;
    held += (size_t)got;
    buffer[held] = 0;
    while ((end = strchr(line, '\n'))) {
        *end = 0;
        add(line);
        line = end + 1;
    }
    held = (size_t)(buffer + held - line);
    memmove(buffer, line, held);
}

static void send_slot(void)
{
    struct stream *stream = wheel[slot % WHEEL], *next;
    wheel[slot % WHEEL] = NULL;
    for (; stream; stream = next) {
        next = stream->next;
        if (slot >= stream->report_slot) {
            report(stream);
            stream->report_slot += report_slots;
        }
        queue(stream);
        if (stream->packets_left)
            place(stream, slot + stream->ptime_ms);
        else {
            flush(&batches[stream->source]); /* its address is in the batch, and the stream may be used again */
            stream->next = unused;
            unused = stream;
            live--;
        }
    }
    for (unsigned i = 0; i < sources; i++) flush(&batches[i]);
}

int main(int count, char **words)
{
    struct timespec due, now;
    struct rusage usage;
    if (count != 4) {
        fprintf(stderr, "sender AUDIO SOURCES RTCP_S\n");
        return 2;
    }
    load_audio(words[1]);
    sources = (unsigned)atoi(words[2]);
    report_slots = (uint64_t)(atof(words[3]) * 1000);
    if (!sources || sources > MOST_SOURCES) die("SOURCES");
    open_sources();
    fcntl(0, F_SETFL, O_NONBLOCK);
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (input_open || live) {
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t behind = (now.tv_sec - due.tv_sec) * 1000000000ll + (now.tv_nsec - due.tv_nsec);
        late += behind > LATE_NS;
        if (behind > latest_ns) latest_ns = behind;
        if (input_open) read_input();
        send_slot();
        slot++;
        due.tv_nsec += SLOT_NS;
        if (due.tv_nsec >= 1000000000) {
            due.tv_nsec -= 1000000000;
            due.tv_sec++;
        }
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"sent\": %ld, \"failed\": %ld, \"reports\": %ld, \"slots\": %llu, \"late_slots\": %ld, "
           "\"latest_ms\": %.3f, \"cpu_s\": %.3f}\n",
           sent, failed, reports, (unsigned long long)slot, late, (double)latest_ns / 1e6,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return 0;
}
