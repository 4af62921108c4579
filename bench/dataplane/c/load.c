// load asks one URL over keep-alive connections, checks every answer, and prints
// what it saw as one JSON object. It never retries: whatever is not a whole 200
// of the expected length is an error.
//
// Flat out, every connection asks again as soon as it is answered. At a fixed
// rate (-r) requests fall due at equal distances whether or not earlier ones are
// answered, and latency counts from the moment a request was due: a proxy that
// stalls cannot make its own measurement pause (no coordinated omission).
//
// One thread on epoll, so that it costs less than what it measures.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"load -p PORT -l LENGTH [-u PATH] [-c CONNECTIONS] [-d SECONDS] [-w SECONDS]\n"
	"     [-r RATE] [-m BYTES] [-f] [-i] [-P PID,...] [-Q PID,...]\n"
	"  -l bytes of body that every answer must have\n"
	"  -d length of the measurement, -w of the time before it\n"
	"  -r requests a second; 0: flat out\n"
	"  -m bytes of body to POST\n"
	"  -f with the header fields of a browser\n"
	"  -i idle clients: each connection asks once, all wait until standard input\n"
	"     ends, and each asks once more\n"
	"  -P the proxy's processes, -Q the upstream's: their processor time is read\n";

#define NSEC 1000000000ull
enum { MAX_PIDS = 64, HEAD = 4096, CHUNK = 1 << 18 };

struct conn {
	int fd;
	int asking;       // a request is under way
	uint64_t due;     // when it was to be sent, in ns
	size_t sent;      // bytes of it that have left
	size_t partial;   // bytes of an incomplete head, kept in head
	int in_body;
	size_t left;      // bytes of body that are still to come
	char head[HEAD];
};

static int port, connections = 64, browser, idle_clients;
static size_t expected, post;
static double seconds = 2, warm_up = 0.5, rate;
static const char *path = "/";

static char *request;
static size_t request_length;
static char input[HEAD + CHUNK];
static char body[CHUNK];
static int poller;
static struct conn *conns;

// Connections that wait for their turn, the longest waiting first.
static struct conn **waiting;
static size_t waiting_first, waiting_count;

static int measuring;
static uint64_t answered, errors;
static char first_error[256];

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NSEC + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

// Latencies are counted in buckets whose width is at most 1/128 of their value.
enum { SUB = 128, SUB_BITS = 7 };
static uint64_t histogram[SUB * 64], slowest;

static void record(uint64_t ns)
{
	int shift = ns < 2 * SUB ? 0 : 63 - __builtin_clzll(ns) - SUB_BITS;
	histogram[shift * SUB + (int)(ns >> shift)]++;
	if (ns > slowest)
		slowest = ns;
}

// quantile is the upper end of the bucket that holds it, in microseconds.
static double quantile(double q)
{
	uint64_t rank = (uint64_t)((double)answered * q), seen = 0;
	for (int i = 0; i < SUB * 64; i++) {
		seen += histogram[i];
		if (seen > rank) {
			int shift = i < 2 * SUB ? 0 : i / SUB - 1;
			uint64_t top = ((uint64_t)(i - shift * SUB) + 1) << shift;
			return (double)(top < slowest ? top : slowest) / 1000;
		}
	}
	return (double)slowest / 1000;
}

// Processor time, in seconds.
struct pids {
	int pid[MAX_PIDS];
	int count;
};

static void parse_pids(struct pids *p, char *list)
{
	for (char *s = strtok(list, ","); s && p->count < MAX_PIDS; s = strtok(NULL, ","))
		p->pid[p->count++] = atoi(s);
}

static double clock_seconds(clockid_t clock)
{
	struct timespec t;
	return clock_gettime(clock, &t) ? 0 : (double)t.tv_sec + (double)t.tv_nsec / NSEC;
}

static double processor_time(const struct pids *p)
{
	double sum = 0;
	for (int i = 0; i < p->count; i++) {
		clockid_t clock;
		if (clock_getcpuclockid(p->pid[i], &clock) == 0)
			sum += clock_seconds(clock);
	}
	return sum;
}

// machine_time is what all cores were busy with, of which others took steal.
static void machine_time(double *busy, double *steal)
{
	unsigned long v[8] = {0};
	FILE *f = fopen("/proc/stat", "r");
	if (!f || fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7) != 8)
		die("/proc/stat");
	fclose(f);
	double hz = (double)sysconf(_SC_CLK_TCK);
	*busy = (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / hz;
	*steal = (double)v[7] / hz;
}

struct reading {
	uint64_t at;
	double proxy, upstream, self, busy, steal;
};

static struct reading read_clocks(const struct pids *proxy, const struct pids *upstream)
{
	struct reading r = {.at = now(), .proxy = processor_time(proxy), .upstream = processor_time(upstream)};
	r.self = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
	machine_time(&r.busy, &r.steal);
	return r;
}

static void dial(struct conn *c)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int one = 1;
	memset(c, 0, offsetof(struct conn, head));
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	ioctl(c->fd, FIONBIO, &one);
	struct epoll_event e = {.events = EPOLLIN | EPOLLET | EPOLLRDHUP | (post ? EPOLLOUT : 0), .data.ptr = c};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e))
		die("epoll_ctl");
}

static void wait_turn(struct conn *c)
{
	c->asking = 0;
	waiting[(waiting_first + waiting_count++) % (size_t)connections] = c;
}

static void fail(struct conn *c, const char *why)
{
	if (errors++ == 0)
		snprintf(first_error, sizeof first_error, "%s", why);
	if (errors > 10000) {
		fprintf(stderr, "load: too many errors, the first: %s\n", first_error);
		exit(1);
	}
	int was_asking = c->asking;
	close(c->fd);
	dial(c);
	if (was_asking)
		wait_turn(c);
}

// send_request goes on with the request until it has left or the socket is full.
static void send_request(struct conn *c)
{
	while (c->sent < request_length + post) {
		ssize_t n;
		if (c->sent < request_length) {
			n = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL | (post ? MSG_MORE : 0));
		} else {
			size_t left = request_length + post - c->sent;
			n = send(c->fd, body, left < sizeof body ? left : sizeof body, MSG_NOSIGNAL);
		}
		if (n < 0) {
			if (errno != EAGAIN)
				fail(c, "the connection broke while asking");
			return;
		}
		c->sent += (size_t)n;
	}
}

static void ask(struct conn *c, uint64_t due)
{
	c->asking = 1;
	c->due = due;
	c->sent = c->partial = 0;
	c->in_body = 0;
	send_request(c);
}

static void complete(struct conn *c)
{
	if (c->sent < request_length + post) {
		fail(c, "an answer before the whole request was sent");
		return;
	}
	if (measuring) {
		answered++;
		record(now() - c->due);
	}
	wait_turn(c);
}

// read_head looks for a whole head in the first n bytes of input; 0: not yet, -1: bad.
static long read_head(struct conn *c, size_t n)
{
	char *end = memmem(input, n, "\r\n\r\n", 4);
	if (!end)
		return n < HEAD ? 0 : -1;
	if (memcmp(input, "HTTP/1.1 200 ", 13))
		return -1;
	*end = 0;
	char *length = strcasestr(input, "\r\ncontent-length:");
	if (!length || strtoul(length + 17, NULL, 10) != expected)
		return -1;
	c->left = expected;
	c->in_body = 1;
	return end + 4 - input;
}

static void describe(struct conn *c, size_t n)
{
	char why[200];
	snprintf(why, sizeof why, "not a 200 with %zu bytes: %.*s", expected, (int)(n < 120 ? n : 120), input);
	for (char *s = why; *s; s++)
		if (*s < ' ' || *s == '"' || *s == '\\')
			*s = ' ';
	fail(c, why);
}

// take uses n bytes of input; 1: the connection may be read further.
static int take(struct conn *c, size_t n)
{
	size_t used = 0;
	if (!c->in_body) {
		long head = read_head(c, n);
		if (head < 0) {
			describe(c, n);
			return 0;
		}
		if (head == 0) {
			memcpy(c->head, input, n);
			c->partial = n;
			return 1;
		}
		used = (size_t)head;
	}
	if (n - used > c->left) {
		fail(c, "bytes behind the answer");
		return 0;
	}
	c->left -= n - used;
	if (c->left > 0)
		return 1;
	complete(c);
	return 0;
}

static void receive(struct conn *c)
{
	for (;;) {
		size_t before = c->in_body ? 0 : c->partial;
		memcpy(input, c->head, before);
		ssize_t n = recv(c->fd, input + before, CHUNK, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || !c->asking) {
			fail(c, n > 0 ? "bytes that nobody asked for" : c->asking ? "the connection ended before the answer" : "an idle connection was closed");
			return;
		}
		if (!take(c, before + (size_t)n) || n < CHUNK)
			return; // a short read has emptied the socket: the next bytes are another event
	}
}

static void build_request(void)
{
	static const char fields[] =
		"Connection: keep-alive\r\n"
		"sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n"
		"sec-ch-ua-mobile: ?0\r\n"
		"sec-ch-ua-platform: \"Linux\"\r\n"
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n"
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
		"Sec-Fetch-Site: same-origin\r\n"
		"Sec-Fetch-Mode: navigate\r\n"
		"Sec-Fetch-Dest: document\r\n"
		"Referer: http://127.0.0.1/some/page.html\r\n"
		"Accept-Encoding: gzip, deflate, br, zstd\r\n"
		"Accept-Language: en-US,en;q=0.9\r\n"
		"Cookie: session=abcdef0123456789abcdef0123456789; theme=dark; _ga=GA1.1.123456789.1700000000\r\n";
	char length[64] = "";
	if (post)
		snprintf(length, sizeof length, "Content-Length: %zu\r\n", post);
	int n = asprintf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n", post ? "POST" : "GET", path, port, browser ? fields : "", length);
	if (n < 0)
		die("asprintf");
	request_length = (size_t)n;
	memset(body, 'b', sizeof body);
}

// schedule is the sequence of moments at which requests are due.
struct schedule {
	uint64_t start, issued, limit;
	size_t at_a_time; // requests under way, at most
	double step; // ns; 0: as soon as a connection is free
};

static uint64_t due(const struct schedule *s)
{
	return s->start + (uint64_t)((double)s->issued * s->step);
}

static void ask_what_is_due(struct schedule *s)
{
	while (waiting_count > 0 && s->issued < s->limit && (size_t)connections - waiting_count < s->at_a_time) {
		uint64_t at = s->step > 0 ? due(s) : now();
		if (s->step > 0 && at > now())
			return;
		struct conn *c = waiting[waiting_first];
		waiting_first = (waiting_first + 1) % (size_t)connections;
		waiting_count--;
		s->issued++;
		ask(c, at);
	}
}

static void handle_events(struct schedule *s)
{
	static struct epoll_event events[512];
	uint64_t wait = NSEC / 10, t = now();
	if (s->step > 0 && s->issued < s->limit && waiting_count > 0)
		wait = due(s) > t ? due(s) - t : 0;
	struct timespec timeout = {.tv_sec = (time_t)(wait / NSEC), .tv_nsec = (long)(wait % NSEC)};
	long n = syscall(SYS_epoll_pwait2, poller, events, 512, &timeout, NULL, 0);
	if (n < 0 && errno != EINTR)
		die("epoll_pwait2");
	for (long i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		if (events[i].events & EPOLLOUT && c->asking)
			send_request(c);
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			receive(c);
		ask_what_is_due(s);
	}
}

static void run_until(struct schedule *s, uint64_t end)
{
	while (now() < end) {
		ask_what_is_due(s);
		handle_events(s);
	}
}

// ask_each lets every connection ask once, 20,000 a second but not too many at a
// time, and waits for the answers.
static void ask_each(void)
{
	struct schedule s = {.start = now(), .limit = (uint64_t)connections, .at_a_time = 256, .step = NSEC / 20000.0};
	while (s.issued < s.limit || waiting_count < (size_t)connections) {
		if (now() > s.start + 20 * NSEC) {
			fprintf(stderr, "load: %zu of %d connections have no answer after 20 s\n", (size_t)connections - waiting_count, connections);
			exit(1);
		}
		ask_what_is_due(&s);
		handle_events(&s);
	}
}

static void parse(int argc, char **argv, struct pids *proxy, struct pids *upstream)
{
	for (int o; (o = getopt(argc, argv, "p:l:u:c:d:w:r:m:fiP:Q:")) != -1;) {
		switch (o) {
		case 'p': port = atoi(optarg); break;
		case 'l': expected = strtoul(optarg, NULL, 10); break;
		case 'u': path = optarg; break;
		case 'c': connections = atoi(optarg); break;
		case 'd': seconds = atof(optarg); break;
		case 'w': warm_up = atof(optarg); break;
		case 'r': rate = atof(optarg); break;
		case 'm': post = strtoul(optarg, NULL, 10); break;
		case 'f': browser = 1; break;
		case 'i': idle_clients = 1; break;
		case 'P': parse_pids(proxy, optarg); break;
		case 'Q': parse_pids(upstream, optarg); break;
		default: port = 0;
		}
	}
	if (port <= 0 || connections <= 0) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct pids proxy = {0}, upstream = {0};
	parse(argc, argv, &proxy, &upstream);
	prctl(PR_SET_TIMERSLACK, 1000); // ns: a due request must not wait for the usual 50 us
	build_request();
	poller = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc((size_t)connections, sizeof *conns);
	waiting = calloc((size_t)connections, sizeof *waiting);
	for (int i = 0; i < connections; i++) {
		dial(&conns[i]);
		wait_turn(&conns[i]);
	}
	struct schedule s = {.start = now(), .limit = UINT64_MAX, .at_a_time = SIZE_MAX, .step = rate > 0 ? NSEC / rate : 0};
	struct reading from, to;
	if (idle_clients) {
		ask_each();
		from = read_clocks(&proxy, &upstream);
		puts("idle");
		fflush(stdout);
		while (getchar() != EOF) {
		}
		to = read_clocks(&proxy, &upstream);
		measuring = 1;
		ask_each();
	} else {
		run_until(&s, s.start + (uint64_t)(warm_up * NSEC));
		from = read_clocks(&proxy, &upstream);
		measuring = 1;
		run_until(&s, from.at + (uint64_t)(seconds * NSEC));
		to = read_clocks(&proxy, &upstream);
	}
	double known = (to.proxy - from.proxy) + (to.upstream - from.upstream) + (to.self - from.self);
	double behind = rate > 0 ? (double)(to.at - s.start) / s.step - (double)s.issued : 0;
	printf("{\"requests\": %lu, \"errors\": %lu, \"why\": \"%s\", \"seconds\": %.6f, \"behind\": %.0f, "
	       "\"proxy_cpu\": %.6f, \"upstream_cpu\": %.6f, \"load_cpu\": %.6f, \"other_cpu\": %.3f, \"steal\": %.3f, "
	       "\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"slowest\": %.1f}\n",
	       answered, errors, first_error, (double)(to.at - from.at) / NSEC, behind > 0 ? behind : 0,
	       to.proxy - from.proxy, to.upstream - from.upstream, to.self - from.self,
	       to.busy - from.busy - known, to.steal - from.steal,
	       quantile(0.5), quantile(0.99), quantile(0.999), (double)slowest / 1000);
	return 0;
}
