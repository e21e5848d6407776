// JT/T 808 load generator, edition 2013, 127.0.0.1 only.
//
//   loadgen PORT CONNS WINDOW SECONDS [SERVER_PID [RATE [FIRST_PHONE]]]
//
// CONNS terminals register, authenticate, and report (0x0200). Closed loop: each keeps WINDOW reports unacknowledged.
// With RATE: open loop, RATE reports/s over all terminals in turn; latency counts from the planned send time, so a
// stalled server cannot hide behind a stalled sender. Prints one line; `ratio` reads it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    FLAG = 0x7e,
    ESCAPE = 0x7d,
    EVENTS = 1024,
    BUCKETS = 100000,      // of 10 us each
    PORTS_PER_ADDRESS = 25000, // above this many terminals, more loopback addresses are needed
};

typedef struct {
    int fd;
    uint16_t serial;
    uint8_t in[4096];
    int have;
    double lon, lat;
    uint64_t sent_at[64]; // ns, by the low bits of the serial
    uint64_t phone;
    uint32_t mileage;
} terminal;

static struct {
    uint64_t acked, sent, bad, authenticated, other;
    uint64_t latency[BUCKETS];
} count;

static terminal *terminals;
static int closed_loop, running;
static uint64_t began; // ns; 0 until every terminal is authenticated

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint32_t seed;

static double rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return (seed >> 8) / 16777216.0;
}

static uint8_t bcd(int value)
{
    return value / 10 << 4 | value % 10;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    *at++ = value >> 24;
    *at++ = value >> 16;
    *at++ = value >> 8;
    *at++ = value;
    return at;
}

static int escape(const uint8_t *in, int n, uint8_t *out)
{
    int k = 0;
    out[k++] = FLAG;
    for (int i = 0; i < n; i++) {
        if (in[i] == FLAG || in[i] == ESCAPE) {
            out[k++] = ESCAPE;
            out[k++] = in[i] == FLAG ? 2 : 1;
        } else {
            out[k++] = in[i];
        }
    }
    out[k++] = FLAG;
    return k;
}

static int frame(terminal *t, uint16_t message, const uint8_t *body, int length, uint8_t *out)
{
    uint8_t packet[512];
    char phone[24];
    int n = 0;
    packet[n++] = message >> 8;
    packet[n++] = message;
    packet[n++] = length >> 8;
    packet[n++] = length;
    snprintf(phone, sizeof phone, "%012llu", (unsigned long long)t->phone);
    for (int i = 0; i < 6; i++)
        packet[n++] = (phone[2 * i] - '0') << 4 | (phone[2 * i + 1] - '0');
    t->serial++;
    packet[n++] = t->serial >> 8;
    packet[n++] = t->serial;
    memcpy(packet + n, body, length);
    n += length;
    uint8_t check = 0;
    for (int i = 0; i < n; i++)
        check ^= packet[i];
    packet[n++] = check;
    return escape(packet, n, out);
}

static int registration(terminal *t, uint8_t *out)
{
    uint8_t body[64] = {0};
    body[1] = 37;
    body[3] = 15;
    memcpy(body + 4, "TEST1", 5);
    memcpy(body + 9, "MODEL", 5);
    memcpy(body + 29, "ID00001", 7);
    memcpy(body + 37, "LC000001", 8);
    return frame(t, 0x0100, body, 2 + 2 + 5 + 20 + 7 + 1 + 8, out);
}

// One 0x0200: the terminal strays a few metres from its last place; mileage, signal and satellites follow as items.
static int report(terminal *t, uint64_t sent_at, uint8_t *out)
{
    uint8_t body[64] = {0};
    uint8_t *at = body + 7;
    *at++ = 3; // engine on, fixed
    t->lon += (rnd() - .5) * 1e-4;
    t->lat += (rnd() - .5) * 1e-4;
    at = put32(at, t->lat * 1e6);
    at = put32(at, t->lon * 1e6);
    *at++ = 0;
    *at++ = 45;
    *at++ = 0;
    *at++ = rnd() * 200;
    *at++ = 0;
    *at++ = rnd() * 255;
    time_t local = time(0) + 8 * 3600;
    struct tm tm;
    gmtime_r(&local, &tm);
    const int fields[] = {tm.tm_year % 100, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    for (int i = 0; i < 6; i++)
        *at++ = bcd(fields[i]);
    *at++ = 0x01;
    *at++ = 4;
    at = put32(at, ++t->mileage);
    memcpy(at, "\x30\x01\x19\x31\x01\x0c", 6);
    at += 6;
    int n = frame(t, 0x0200, body, at - body, out);
    t->sent_at[t->serial & 63] = sent_at;
    count.sent++;
    return n;
}

// Acts on one packet of the platform; what is to be sent in return goes to `out`.
static int heard(terminal *t, const uint8_t *wire, int length, uint64_t now, uint8_t *out)
{
    uint8_t packet[1024] = {0};
    int n = 0;
    for (int i = 0; i < length && n < 1000; i++) {
        if (wire[i] == ESCAPE)
            packet[n++] = wire[++i] == 1 ? ESCAPE : FLAG;
        else
            packet[n++] = wire[i];
    }
    uint8_t check = 0;
    for (int i = 0; i < n; i++)
        check ^= packet[i];
    if (check) {
        count.bad++;
        return 0;
    }
    int message = packet[0] << 8 | packet[1];
    if (message == 0x8100) {
        int code = ((packet[2] & 3) << 8 | packet[3]) - 3;
        if (packet[14])
            count.bad++;
        return frame(t, 0x0102, packet + 15, code > 0 ? code : 0, out);
    }
    int serial = packet[12] << 8 | packet[13], answered = packet[14] << 8 | packet[15];
    if (message == 0x8001 && answered == 0x0102) {
        count.authenticated++;
        return 0;
    }
    if (message != 0x8001 || answered != 0x0200) {
        count.other++;
        return 0;
    }
    count.acked++;
    if (packet[16])
        count.bad++;
    if (began) {
        uint64_t sent_at = t->sent_at[serial & 63], us = now > sent_at ? (now - sent_at) / 1000 : 0;
        count.latency[(us > 999990 ? 999990 : us) / 10]++;
    }
    return running && closed_loop ? report(t, now, out) : 0;
}

static void send_all(terminal *t, const uint8_t *out, int n)
{
    if (n && write(t->fd, out, n) != n)
        count.bad++;
}

static void receive(terminal *t, int poll, uint64_t now)
{
    int got = read(t->fd, t->in + t->have, sizeof t->in - t->have);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            fprintf(stderr, "conn closed\n");
            epoll_ctl(poll, EPOLL_CTL_DEL, t->fd, 0);
            close(t->fd);
            count.bad++;
        }
        return;
    }
    t->have += got;
    uint8_t out[16384];
    int n = 0, start = -1, done = 0;
    for (int i = 0; i < t->have; i++) {
        if (t->in[i] != FLAG)
            continue;
        if (start < 0 || i == start + 1) {
            start = i;
            continue;
        }
        n += heard(t, t->in + start + 1, i - start - 1, now, out + n);
        done = i + 1;
        start = -1;
    }
    if (done) {
        memmove(t->in, t->in + done, t->have - done);
        t->have -= done;
    }
    send_all(t, out, n);
}

static int dial(terminal *t, int i, int n, int port, int poll)
{
    uint8_t out[256];
    int one = 1;
    t->lon = 115.5 + rnd();
    t->lat = 36 + rnd();
    t->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (n > PORTS_PER_ADDRESS) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        char ip[32];
        snprintf(ip, sizeof ip, "127.0.0.%d", 2 + i / PORTS_PER_ADDRESS);
        inet_pton(AF_INET, ip, &from.sin_addr);
        bind(t->fd, (void *)&from, sizeof from);
    }
    if (connect(t->fd, (void *)&address, sizeof address)) {
        perror("connect");
        return 1;
    }
    setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(t->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(poll, EPOLL_CTL_ADD, t->fd, &wanted);
    send_all(t, out, registration(t, out));
    return 0;
}

// Seconds of CPU that a process has used, from /proc; 0 without one.
static double cpu_of(int pid)
{
    char path[64], line[1024];
    long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = pid ? fopen(path, "r") : 0;
    if (!file)
        return 0;
    if (fgets(line, sizeof line, file))
        sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &kernel);
    fclose(file);
    return (user + kernel) / 100.0;
}

static double percentile_ms(uint64_t total, double share)
{
    uint64_t sum = 0;
    for (int i = 0; i < BUCKETS; i++) {
        sum += count.latency[i];
        if (sum >= total * share && sum)
            return i / 100.;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: loadgen PORT CONNS WINDOW SECONDS [SERVER_PID [RATE [FIRST_PHONE]]]\n");
        return 2;
    }
    int port = atoi(argv[1]), n = atoi(argv[2]), window = atoi(argv[3]);
    double seconds = atof(argv[4]);
    int pid = argc > 5 ? atoi(argv[5]) : 0, rate = argc > 6 ? atoi(argv[6]) : 0;
    unsigned long long first = argc > 7 ? strtoull(argv[7], 0, 10) : 13800000000ull;
    seed = 12345 + (uint32_t)(first * 2654435761u);
    closed_loop = !rate;

    struct rlimit files = {200000, 200000};
    setrlimit(RLIMIT_NOFILE, &files);
    terminals = calloc(n, sizeof *terminals);
    int poll = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        terminals[i].phone = first + i;
        if (dial(terminals + i, i, n, port, poll))
            return 1;
    }

    struct epoll_event ready[EVENTS];
    uint64_t dialled = now_ns(), deadline = 0, ended, acked_before = 0, planned = 0;
    double cpu_before = 0;
    int next = 0;
    for (;;) {
        int k = epoll_wait(poll, ready, EVENTS, rate && running ? 1 : 100);
        uint64_t now = now_ns();
        for (int i = 0; i < k; i++)
            receive(terminals + ready[i].data.u32, poll, now);
        if (!running && count.authenticated >= (uint64_t)n) {
            running = 1;
            fprintf(stderr, "all %d authed in %.2fs\n", n, (now - dialled) / 1e9);
            for (int i = 0; i < n && closed_loop; i++) {
                uint8_t out[16384];
                int length = 0;
                for (int w = 0; w < window; w++)
                    length += report(terminals + i, now_ns(), out + length);
                send_all(terminals + i, out, length);
            }
            began = now_ns();
            acked_before = count.acked;
            deadline = began + seconds * 1e9;
            cpu_before = cpu_of(pid);
        }
        if (running && rate) {
            uint64_t due = now > began ? (now - began) / 1e9 * rate : 0;
            for (; planned < due; planned++) {
                uint8_t out[512];
                terminal *t = terminals + next;
                next = (next + 1) % n;
                send_all(t, out, report(t, began + (uint64_t)(planned * 1e9 / rate), out));
            }
        }
        if (running && now > deadline) {
            ended = now;
            break;
        }
        if (!running && now - dialled > 60e9) {
            fprintf(stderr, "auth timeout: %lu\n", count.authenticated);
            return 2;
        }
    }

    uint64_t total = count.acked - acked_before;
    double cpu = cpu_of(pid) - cpu_before, elapsed = (ended - began) / 1e9;
    printf("conns=%d W=%d msgs=%lu rate=%.0f/s bad=%lu other=%lu p50=%.2fms p99=%.2fms p99.9=%.2fms "
           "server_cpu=%.2fs -> %.0f msg/cpu-s (%.2f us/msg)\n",
           n, window, total, total / elapsed, count.bad, count.other, percentile_ms(total, .5), percentile_ms(total, .99),
           percentile_ms(total, .999), cpu, cpu > 0 ? total / cpu : 0, cpu > 0 ? cpu * 1e6 / total : 0);
    return 0;
}
