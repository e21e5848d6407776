// The floor: the least that this machine can do for a JT/T 808 position report.
//
// One thread, epoll: cut the stream at 0x7e, unescape, verify the checksum, answer. Nothing is decoded, stored or
// remembered, a packet split over two reads is lost, and any terminal is welcome. Usage: limit PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLAG = 0x7e, ESCAPE = 0x7d, BUFFER = 65536, EVENTS = 1024 };

// One framed packet to the sender of `request` (a 2011 or 2013 header), into `out`; returns its length.
static int reply(const uint8_t *request, uint16_t message, const uint8_t *body, int length, uint8_t *out)
{
    uint8_t packet[64];
    int n = 0, k = 0;
    packet[n++] = message >> 8;
    packet[n++] = message;
    packet[n++] = 0;
    packet[n++] = length;
    memcpy(packet + n, request + 4, 6);
    n += 6;
    packet[n++] = 0;
    packet[n++] = 1;
    memcpy(packet + n, body, length);
    n += length;
    uint8_t check = 0;
    for (int i = 0; i < n; i++)
        check ^= packet[i];
    packet[n++] = check;

    out[k++] = FLAG;
    for (int i = 0; i < n; i++) {
        if (packet[i] == FLAG || packet[i] == ESCAPE) {
            out[k++] = ESCAPE;
            out[k++] = packet[i] == FLAG ? 2 : 1;
        } else {
            out[k++] = packet[i];
        }
    }
    out[k++] = FLAG;
    return k;
}

// The answer to the packet between two flags: 0x8100 to a registration, 0x8001 to anything else.
static int answer(const uint8_t *wire, int length, uint8_t *out)
{
    uint8_t packet[2048];
    int n = 0;
    for (int i = 0; i < length; i++) {
        if (wire[i] == ESCAPE)
            packet[n++] = wire[++i] == 1 ? ESCAPE : FLAG;
        else
            packet[n++] = wire[i];
    }
    uint8_t check = 0;
    for (int i = 0; i < n; i++)
        check ^= packet[i];
    if (check)
        return 0;
    if ((packet[0] << 8 | packet[1]) == 0x0100) {
        uint8_t body[7] = {packet[10], packet[11], 0, 'A', 'B', 'C', 'D'};
        return reply(packet, 0x8100, body, 7, out);
    }
    uint8_t body[5] = {packet[10], packet[11], packet[0], packet[1], 0};
    return reply(packet, 0x8001, body, 5, out);
}

static void serve(int fd)
{
    uint8_t in[BUFFER], out[BUFFER];
    int got = read(fd, in, sizeof in), n = 0, start = -1;
    if (got <= 0) {
        close(fd);
        return;
    }
    for (int i = 0; i < got; i++) {
        if (in[i] != FLAG)
            continue;
        if (start < 0) {
            start = i;
            continue;
        }
        n += answer(in + start + 1, i - start - 1, out + n);
        start = -1;
    }
    if (n && write(fd, out, n) != n)
        close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    struct rlimit files = {200000, 200000};
    setrlimit(RLIMIT_NOFILE, &files);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096))
        return 1;
    int poll = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, ready[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int count = epoll_wait(poll, ready, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd != listener) {
                serve(ready[i].data.fd);
                continue;
            }
            int fd;
            while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                wanted = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
            }
        }
    }
}
