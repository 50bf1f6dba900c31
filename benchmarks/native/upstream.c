// The mock upstream: OpenAI chat completions and Anthropic messages, always the same answer.
//
// One thread, one epoll. A request is looked at only for its end, its path (`messages` = Anthropic) and
// `"stream":true`. A stream is a role frame with the first word, then a word every GAP_US, each written on its
// own; with `stall` nothing follows the first. Nothing is validated: the gateway is measured, not this.
//
// With `faults` and a number N every N-th request ends badly, in turn: an answer 503, a connection closed before
// the answer, and one closed in it.
//
//     upstream N_CHUNKS GAP_US [stall | faults N]        prints the port, serves until its standard input ends

#include "wire.h"

enum { FIRST_ROOM = 16 * 1024, MAX_REQUEST = 16 * 1024 * 1024, MAX_CONNECTIONS = 4096 };

typedef struct {
    int fd;
    int slot;        // place among the running streams; -1 = none
    bool anthropic;
    int n_left;      // content frames still to be written
    int64_t due_ns;
    size_t n_held, n_room;
    char *held;      // of a request that has not arrived completely
} Connection;

typedef struct {
    char *bytes;
    size_t size;
} Blob;

static Connection *running[MAX_CONNECTIONS];
static int n_running;
static int n_chunks;
static int64_t gap_ns;
static bool stall;
static long fault_every, n_requests;

static const char WORDS[] =
    "A turnout is the place where a railway track divides and a train is guided onto one line or another. "
    "The blades move a few centimetres, the rest of the track stays where it is, and a heavy train follows. "
    "Whoever sets the points decides early and cheaply, because nothing can be changed once the wheels have "
    "passed. That is why a signal box is built where the view is wide: it has to know what is coming, what "
    "is free, and what each line can bear. A good signaller seldom stops a train and never sends one back. "
    "When a line is closed there is another one, prepared in advance, and the timetable barely notices. "
    "Afterwards the book shows which train took which line, at what minute, and for which reason, so that "
    "the next timetable can be better than the last one was.";

static Blob text(const char *format, const char *body) {
    Blob blob;
    int size = asprintf(&blob.bytes, format, body);
    if (size < 0) die("asprintf");
    blob.size = (size_t)size;
    return blob;
}

static Blob answer(const char *json) {
    char *format;
    if (asprintf(&format,
                 "HTTP/1.1 200 OK\r\ndate: Sat, 01 Nov 2025 12:00:00 GMT\r\nserver: mock\r\n"
                 "content-type: application/json\r\nx-request-id: req_0123456789abcdef\r\n"
                 "x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 999999\r\n"
                 "content-length: %zu\r\n\r\n%%s",
                 strlen(json)) < 0)
        die("asprintf");
    return text(format, json);
}

static Blob chunk(const char *frame) {
    char *format;
    if (asprintf(&format, "%zx\r\n%%s\r\n", strlen(frame)) < 0) die("asprintf");
    return text(format, frame);
}

typedef struct {
    Blob whole, first, piece, last;
} Script;

static Script scripts[2];

#define HEAD                                                                                         \
    "HTTP/1.1 200 OK\r\ndate: Sat, 01 Nov 2025 12:00:00 GMT\r\nserver: mock\r\n"                     \
    "content-type: text/event-stream\r\nx-request-id: req_0123456789abcdef\r\ntransfer-encoding: chunked\r\n\r\n"
#define OPENAI_FRAME(delta, finish)                                                                  \
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1761998400,"  \
    "\"model\":\"bench-1\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":" \
    delta ",\"logprobs\":null,\"finish_reason\":" finish "}]}\n\n"

static Blob joined(Blob one, Blob two) {
    Blob blob = {malloc(one.size + two.size), one.size + two.size};
    memcpy(blob.bytes, one.bytes, one.size);
    memcpy(blob.bytes + one.size, two.bytes, two.size);
    return blob;
}

static void write_openai(Script *script) {
    script->whole = answer(text("{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1761998400,"
                                "\"model\":\"bench-1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                                "\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                                "\"usage\":{\"prompt_tokens\":262,\"completion_tokens\":178,\"total_tokens\":440,"
                                "\"prompt_tokens_details\":{\"cached_tokens\":0},"
                                "\"completion_tokens_details\":{\"reasoning_tokens\":0}},"
                                "\"system_fingerprint\":\"fp_bench\"}",
                                WORDS).bytes);
    Blob head = text("%s", HEAD);
    script->first = joined(head, chunk(OPENAI_FRAME("{\"role\":\"assistant\",\"content\":\"\"}", "null")));
    script->piece = chunk(OPENAI_FRAME("{\"content\":\" railway\"}", "null"));
    script->first = joined(script->first, script->piece);
    script->last = joined(
        joined(chunk(OPENAI_FRAME("{}", "\"stop\"")),
               chunk("data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1761998400,"
                     "\"model\":\"bench-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":262,"
                     "\"completion_tokens\":64,\"total_tokens\":326}}\n\n")),
        joined(chunk("data: [DONE]\n\n"), text("%s", "0\r\n\r\n")));
}

static void write_anthropic(Script *script) {
    script->whole = answer(text("{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench-1\","
                                "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\","
                                "\"stop_sequence\":null,\"usage\":{\"input_tokens\":262,\"output_tokens\":178,"
                                "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0}}",
                                WORDS).bytes);
    Blob head = text("%s", HEAD);
    script->first = joined(
        joined(head, chunk("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_bench\","
                           "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench-1\",\"content\":[],"
                           "\"stop_reason\":null,\"usage\":{\"input_tokens\":262,\"output_tokens\":1}}}\n\n")),
        chunk("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
              "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"));
    script->piece = chunk("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                          "\"delta\":{\"type\":\"text_delta\",\"text\":\" railway\"}}\n\n");
    script->first = joined(script->first, script->piece);
    script->last = joined(
        chunk("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
              "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
              "\"stop_sequence\":null},\"usage\":{\"output_tokens\":64}}\n\n"
              "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        text("%s", "0\r\n\r\n"));
}

static void stop_stream(Connection *connection) {
    if (connection->slot < 0) return;
    running[connection->slot] = running[--n_running];
    running[connection->slot]->slot = connection->slot;
    connection->slot = -1;
}

static void drop(Connection *connection) {
    stop_stream(connection);
    close(connection->fd);
    free(connection->held);
    free(connection);
}

// Answers fit the socket's buffer; a reader too slow for that has its connection cut.
static bool put(Connection *connection, Blob blob) {
    return write(connection->fd, blob.bytes, blob.size) == (ssize_t)blob.size;
}

// Answer badly when it is time to; false = the connection is to be closed.
static bool fail(Connection *connection) {
    static const char REFUSED[] =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 44\r\n\r\n"
        "{\"error\":{\"message\":\"full\",\"type\":\"server\"}}";
    long kind = n_requests / fault_every % 3;
    connection->n_held = 0;
    if (kind == 0) return put(connection, (Blob){(char *)REFUSED, sizeof REFUSED - 1});
    if (kind == 1) put(connection, scripts[0].first);
    return false;
}

static bool serve(Connection *connection) {
    if (fault_every > 0 && ++n_requests % fault_every == 0) return fail(connection);
    connection->anthropic = memmem(connection->held, 64, "messages", 8) != NULL;
    Script *script = &scripts[connection->anthropic];
    bool stream = memmem(connection->held, connection->n_held, "\"stream\":true", 13) != NULL;
    connection->n_held = 0;
    if (!stream) return put(connection, script->whole);
    if (!put(connection, script->first)) return false;
    if (stall) return true;
    if (n_running == MAX_CONNECTIONS) return false;
    connection->n_left = n_chunks - 1;
    connection->due_ns = now_ns() + gap_ns;
    connection->slot = n_running;
    running[n_running++] = connection;
    return true;
}

// Tell whether what is held is a complete request.
static bool complete(const Connection *connection) {
    const char *end = memmem(connection->held, connection->n_held, "\r\n\r\n", 4);
    if (end == NULL) return false;
    size_t n_head = (size_t)(end - connection->held) + 4, n_body = 0;
    for (const char *line = connection->held; line < end; line = (const char *)memchr(line, '\n', n_head) + 1)
        if (strncasecmp(line, "content-length:", 15) == 0) n_body = strtoul(line + 15, NULL, 10);
    return connection->n_held >= n_head + n_body;
}

static void readable(Connection *connection) {
    if (connection->n_held + 1 == connection->n_room) {
        connection->n_room *= 2;
        connection->held = realloc(connection->held, connection->n_room);
    }
    ssize_t n =
        read(connection->fd, connection->held + connection->n_held, connection->n_room - connection->n_held - 1);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) drop(connection);
        return;
    }
    connection->n_held += (size_t)n;
    connection->held[connection->n_held] = 0;
    if ((complete(connection) && !serve(connection)) || connection->n_held >= MAX_REQUEST) drop(connection);
}

static int64_t drip(int64_t now) {
    int64_t next = 0;
    for (int at = n_running - 1; at >= 0; at--) {
        Connection *connection = running[at];
        if (connection->due_ns <= now) {
            Script *script = &scripts[connection->anthropic];
            connection->due_ns += gap_ns;
            bool last = connection->n_left-- == 0;
            if (last) stop_stream(connection);
            if (!put(connection, last ? script->last : script->piece)) {
                drop(connection);
                continue;
            }
            if (last) continue;
        }
        if (next == 0 || connection->due_ns < next) next = connection->due_ns;
    }
    return next;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    n_chunks = atoi(argv[1]);
    gap_ns = atoll(argv[2]) * 1000;
    stall = argc > 3 && strcmp(argv[3], "stall") == 0;
    fault_every = argc > 4 ? atol(argv[4]) : 0;
    write_openai(&scripts[0]);
    write_anthropic(&scripts[1]);
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1024) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int input = 0;
    watch(epoll, listener, &listener);
    watch(epoll, timer, &timer);
    watch(epoll, input, &input);
    struct epoll_event events[256];
    int64_t armed = 0;
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < n; at++) {
            void *what = events[at].data.ptr;
            if (what == &input) return 0;
            if (what == &timer) {
                uint64_t fired;
                if (read(timer, &fired, sizeof fired) < 0 && errno != EAGAIN) die("timer");
                armed = 0;
            } else if (what == &listener) {
                Connection *connection = calloc(1, sizeof *connection);
                connection->fd = accept(listener, NULL, NULL);
                connection->slot = -1;
                connection->n_room = FIRST_ROOM;
                connection->held = malloc(FIRST_ROOM);
                if (connection->fd < 0) die("accept");
                tune(connection->fd);
                watch(epoll, connection->fd, connection);
            } else {
                readable(what);
            }
        }
        if (n_running == 0) continue;
        int64_t next = drip(now_ns());
        if (next != armed && next != 0) arm(timer, armed = next);
    }
}
