// The load generator: requests over kept-alive connections, closed or open loop.
//
// Closed loop (RATE 0): every connection sends again as soon as it was answered; shows what a core can do.
// Open loop (RATE > 0): requests are due at random instants of that mean rate (exponential gaps, fixed seed)
// whether or not earlier ones were answered, and latency counts from the instant a request was *due*: a proxy
// that stalls cannot hide it by slowing the generator down.
//
//     load PORT PATH BODY_FILE N_CONNECTIONS SECONDS RATE [HEADER...]      prints one JSON object
//     load PORT PATH BODY_FILE N_CONNECTIONS hold 0 [HEADER...]            opens N streams, prints "ready" when
//                                                        each has its second frame, holds them until stdin ends
//
// Sixteen @ in the body are a number that differs in every request, so that no two of them are equal. With
// LOAD_LEAVE=N in the environment every N-th request is left: its connection closes at the first bytes that come.

#include "wire.h"
#include <math.h>
#include <poll.h>

enum { BUFFER = 64 * 1024, MAX_SAMPLES = 4 * 1000 * 1000, GRACE_S = 10 };

typedef enum { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA } State;

typedef struct {
    int fd;
    bool busy;
    State state;
    int status;
    size_t n_left;      // of the body or of the chunk, with the line end behind it
    bool last_chunk;
    size_t n_line;      // bytes held of a head or of a chunk's size line
    char line[8192];
    char before;        // last byte of the body seen, to find blank lines across reads
    long n_frames;
    bool leaves;        // hangs up at the first bytes
    int64_t due_ns;     // when the request was to be sent
    int64_t start_ns;   // closed loop: not before this instant
} Connection;

static char *request;
static size_t request_size;
static char *number;    // where in the request the sixteen digits stand; NULL = they are all the same
static uint64_t n_sent;
static long leave_every, n_left;
static Connection *connections;
static int n_connections, epoll;
static long n_done, n_served, n_failed, n_frames;  // served: also what was under way when time was up
static uint32_t *latency_us, *first_us;
static long n_latency, n_first;
static bool over;

static void send_request(Connection *connection, int64_t due_ns) {
    connection->busy = true;
    connection->state = HEAD;
    connection->n_line = 0;
    connection->n_frames = 0;
    connection->before = 0;
    connection->due_ns = due_ns;
    n_sent++;
    connection->leaves = leave_every > 0 && n_sent % (uint64_t)leave_every == 0;
    if (number != NULL) {
        char digits[17];
        snprintf(digits, sizeof digits, "%016llx", (unsigned long long)n_sent * 0x9E3779B97F4A7C15ULL);
        memcpy(number, digits, 16);
    }
    for (size_t sent = 0; sent < request_size;) {
        ssize_t n = write(connection->fd, request + sent, request_size - sent);
        if (n < 0 && errno != EAGAIN) return;  // closed meanwhile: reading tells
        if (n > 0) sent += (size_t)n;
        struct pollfd room = {.fd = connection->fd, .events = POLLOUT};
        if (sent < request_size) poll(&room, 1, -1);
    }
}

static void open_connection(Connection *connection, int port) {
    struct sockaddr_in address = loopback(port);
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    tune(connection->fd);
    watch(epoll, connection->fd, connection);
}

static void answered(Connection *connection) {
    connection->busy = false;
    if (connection->status == 200) {
        n_served++;
        n_done += !over;
        if (n_latency < MAX_SAMPLES) latency_us[n_latency++] = (uint32_t)((now_ns() - connection->due_ns) / 1000);
    } else {
        n_failed++;
    }
}

static void body(Connection *connection, const char *bytes, size_t size) {
    char before = connection->before;
    for (const char *at = bytes, *end = bytes + size; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++) {
        if ((at == bytes ? before : at[-1]) != '\n') continue;
        connection->n_frames++;
        n_frames++;
        if (connection->n_frames == 1 && n_first < MAX_SAMPLES)
            first_us[n_first++] = (uint32_t)((now_ns() - connection->due_ns) / 1000);
    }
    connection->before = bytes[size - 1];
}

// Read a head; tell how the body is framed.
static void head(Connection *connection) {
    connection->line[connection->n_line] = 0;
    connection->status = atoi(connection->line + 9);
    connection->state = LENGTH;
    connection->n_left = 0;
    for (char *line = connection->line; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncasecmp(line, "content-length:", 15) == 0) connection->n_left = strtoul(line + 15, NULL, 10);
        if (strncasecmp(line, "transfer-encoding:", 18) == 0) connection->state = CHUNK_SIZE;
    }
    connection->n_line = 0;
    connection->last_chunk = false;
    if (connection->state == LENGTH && connection->n_left == 0) answered(connection);
}

// Move bytes into `line` up to and with `end`; tell how many were used, and whether the end has come.
static size_t hold(Connection *connection, const char *bytes, size_t size, const char *end, bool *whole) {
    size_t used = 0, n_end = strlen(end);
    *whole = false;
    while (used < size && !*whole) {
        if (connection->n_line == sizeof connection->line - 1) die("a line is too long");
        connection->line[connection->n_line++] = bytes[used++];
        *whole = connection->n_line >= n_end &&
                 memcmp(connection->line + connection->n_line - n_end, end, n_end) == 0;
    }
    return used;
}

static void chunk_size(Connection *connection) {
    connection->line[connection->n_line] = 0;
    connection->n_left = strtoul(connection->line, NULL, 16);
    connection->last_chunk = connection->n_left == 0;
    connection->n_left += 2;
    connection->n_line = 0;
    connection->state = CHUNK_DATA;
}

static void feed(Connection *connection, const char *bytes, size_t size) {
    while (size > 0 && connection->busy) {
        size_t used;
        bool whole;
        if (connection->state == HEAD || connection->state == CHUNK_SIZE) {
            bool is_head = connection->state == HEAD;
            used = hold(connection, bytes, size, is_head ? "\r\n\r\n" : "\r\n", &whole);
            if (whole) (is_head ? head : chunk_size)(connection);
        } else {
            used = size < connection->n_left ? size : connection->n_left;
            size_t n_frame = connection->state == CHUNK_DATA ? 2 : 0;
            size_t rest = connection->n_left > n_frame ? connection->n_left - n_frame : 0;
            size_t n_body = used < rest ? used : rest;
            if (n_body > 0) body(connection, bytes, n_body);
            connection->n_left -= used;
            if (connection->n_left == 0) {
                if (connection->state == LENGTH || connection->last_chunk) answered(connection);
                else connection->state = CHUNK_SIZE;
            }
        }
        bytes += used;
        size -= used;
    }
}

static bool readable(Connection *connection) {
    static char buffer[BUFFER];
    ssize_t n = read(connection->fd, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    if (connection->leaves) {
        n_left++;
        connection->busy = false;
        return false;
    }
    feed(connection, buffer, (size_t)n);
    return true;
}

static void write_request(int argc, char **argv) {
    FILE *file = fopen(argv[3], "rb");
    if (file == NULL) die(argv[3]);
    static char content[MAX_SAMPLES];
    size_t n_body = fread(content, 1, sizeof content, file);
    fclose(file);
    char *extra = calloc(1, 8192);
    const char *key = "authorization: Bearer bench-key\r\n";
    for (int at = 7; at < argc; at++) {
        if (strncasecmp(argv[at], "authorization:", 14) == 0) key = "";
        strncat(extra, argv[at], 1000);
        strcat(extra, "\r\n");
    }
    int n_head = asprintf(&request,
                          "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%s\r\naccept: application/json\r\n"
                          "content-type: application/json\r\nuser-agent: OpenAI/Python 2.7.1\r\n"
                          "%s%scontent-length: %zu\r\n\r\n",
                          argv[2], argv[1], key, extra, n_body);
    request = realloc(request, (size_t)n_head + n_body);
    memcpy(request + n_head, content, n_body);
    request_size = (size_t)n_head + n_body;
    number = memmem(request + n_head, n_body, "@@@@@@@@@@@@@@@@", 16);
    n_sent = (uint64_t)now_ns();
    leave_every = getenv("LOAD_LEAVE") == NULL ? 0 : atol(getenv("LOAD_LEAVE"));
}

static int by_value(const void *one, const void *other) {
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static double quantile(const uint32_t *samples, long n, double q) {
    return n == 0 ? -1.0 : (double)samples[(long)(q * (double)(n - 1))];
}

static void report(double wall_s) {
    qsort(latency_us, (size_t)n_latency, sizeof *latency_us, by_value);
    qsort(first_us, (size_t)n_first, sizeof *first_us, by_value);
    printf("{\"done\":%ld,\"served\":%ld,\"failed\":%ld,\"left\":%ld,\"frames\":%ld,\"wall_s\":%.4f,\"p50_us\":%.0f,\"p90_us\":%.0f,"
           "\"p99_us\":%.0f,\"max_us\":%.0f,\"first_p50_us\":%.0f,\"first_p99_us\":%.0f}\n",
           n_done, n_served, n_failed, n_left, n_frames, wall_s, quantile(latency_us, n_latency, 0.5),
           quantile(latency_us, n_latency, 0.9), quantile(latency_us, n_latency, 0.99),
           quantile(latency_us, n_latency, 1), quantile(first_us, n_first, 0.5), quantile(first_us, n_first, 0.99));
}

static void hold_streams(void) {
    struct epoll_event events[256];
    int n_open = 0;
    for (int at = 0; at < n_connections; at++) send_request(&connections[at], now_ns());
    while (n_open < n_connections) {
        int n = epoll_wait(epoll, events, 256, 20000);
        if (n <= 0) die("streams did not open");
        for (int at = 0; at < n; at++) {
            Connection *connection = events[at].data.ptr;
            bool was_open = connection->n_frames >= 2;
            if (!readable(connection)) die("a stream was closed");
            n_open += !was_open && connection->n_frames >= 2;
        }
    }
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {}
}

static double gap_s(double rate) {
    static uint64_t state = 0x9E3779B97F4A7C15ULL;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return -log(((double)(state >> 11) + 1) / 9007199254740993.0) / rate;
}

// Send what is due on connections that are free; return when to look again, 0 = when something arrives.
static int64_t send_due(double rate, int64_t *due_ns, int64_t now) {
    int64_t next = 0;
    for (int at = 0; at < n_connections; at++) {
        Connection *connection = &connections[at];
        if (connection->busy) continue;
        if (rate == 0 && connection->start_ns > now) {
            if (next == 0 || connection->start_ns < next) next = connection->start_ns;
        } else if (rate == 0) {
            send_request(connection, now);
        } else if (*due_ns <= now) {
            send_request(connection, *due_ns);
            *due_ns += (int64_t)(gap_s(rate) * 1e9);
        } else {
            return *due_ns;
        }
    }
    return next;
}

static bool any_busy(void) {
    for (int at = 0; at < n_connections; at++)
        if (connections[at].busy) return true;
    return false;
}

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    int port = atoi(argv[1]);
    n_connections = atoi(argv[4]);
    double seconds = atof(argv[5]), rate = atof(argv[6]);
    write_request(argc, argv);
    connections = calloc((size_t)n_connections, sizeof *connections);
    latency_us = malloc(MAX_SAMPLES * sizeof *latency_us);
    first_us = malloc(MAX_SAMPLES * sizeof *first_us);
    epoll = epoll_create1(0);
    for (int at = 0; at < n_connections; at++) open_connection(&connections[at], port);
    if (strcmp(argv[5], "hold") == 0) {
        hold_streams();
        return 0;
    }
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(epoll, timer, &timer);
    int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9), due = start;
    // Streams that begin together would beat together.
    for (int at = 0; at < n_connections; at++) connections[at].start_ns = start + at * 300000LL;
    struct epoll_event events[256];
    for (;;) {
        int64_t now = now_ns();
        over = now >= end;
        if (over && (!any_busy() || now > end + GRACE_S * 1000000000LL)) break;
        int64_t next = over ? 0 : send_due(rate, &due, now);
        if (next == 0 || next > end) next = over ? now + 50000000 : end;
        arm(timer, next);
        int n = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < n; at++) {
            if (events[at].data.ptr == &timer) {
                uint64_t fired;
                if (read(timer, &fired, sizeof fired) < 0 && errno != EAGAIN) die("timer");
            } else if (!readable(events[at].data.ptr)) {
                Connection *connection = events[at].data.ptr;
                n_failed += connection->busy && !over;
                connection->busy = false;
                close(connection->fd);
                open_connection(connection, port);
            }
        }
    }
    report((double)(end - start) / 1e9);
    return 0;
}
