// upstream answers HTTP/1.1 requests at once, with a body of as many bytes as the
// path says: GET /1024. A request's body must have the length that its head
// promises; it is read and thrown away before the answer.
//
// One thread on epoll, and answers that are made before the first request, so
// that it costs less than the proxy in front of it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char usage[] = "upstream tcp:PORT|unix:PATH ...\n";

enum { HEAD = 8192, CHUNK = 1 << 18, MAX_ANSWERS = 8 };

struct answer {
	size_t body, length;
	char *bytes;
};

struct conn {
	int fd;
	int listens, tcp; // a listener, and one of TCP
	size_t partial;   // bytes of an incomplete head, kept in head
	size_t skip;      // bytes of the request's body that are still to come
	struct answer *next; // to be sent when they have
	const char *out;
	size_t out_left;
	char head[HEAD];
};

static struct answer answers[MAX_ANSWERS];
static char input[HEAD + CHUNK];
static int poller;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

// answer_of makes the answer with a body of that many bytes, once.
static struct answer *answer_of(size_t body)
{
	struct answer *a = answers;
	for (; a < answers + MAX_ANSWERS && a->bytes; a++)
		if (a->body == body)
			return a;
	if (a == answers + MAX_ANSWERS || body > 16 << 20)
		return NULL;
	a->body = body;
	a->bytes = malloc(body + 512);
	if (!a->bytes)
		die("malloc");
	int n = sprintf(a->bytes,
			"HTTP/1.1 200 OK\r\n"
			"Content-Type: text/plain; charset=utf-8\r\n"
			"Content-Length: %zu\r\n"
			"Date: Thu, 20 Nov 2025 10:00:00 GMT\r\n"
			"Connection: keep-alive\r\n"
			"Keep-Alive: timeout=5\r\n\r\n", body);
	memset(a->bytes + n, 'a', body);
	a->length = (size_t)n + body;
	return a;
}

static void close_conn(struct conn *c)
{
	close(c->fd);
	free(c);
}

// flush is -1 when the connection is broken.
static int flush(struct conn *c)
{
	while (c->out_left > 0) {
		ssize_t n = send(c->fd, c->out, c->out_left, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		c->out += n;
		c->out_left -= (size_t)n;
	}
	return 0;
}

static int send_answer(struct conn *c)
{
	c->out = c->next->bytes;
	c->out_left = c->next->length;
	c->next = NULL;
	return flush(c);
}

// read_head is the head's length; 0: not yet whole, -1: not what this program serves.
static long read_head(struct conn *c, char *p, size_t n)
{
	char *end = memmem(p, n, "\r\n\r\n", 4);
	if (!end)
		return n < HEAD ? 0 : -1;
	*end = 0;
	char *path = strchr(p, '/');
	if (!path || !(c->next = answer_of(strtoul(path + 1, NULL, 10))))
		return -1;
	char *length = strcasestr(p, "\r\ncontent-length:");
	c->skip = length ? strtoul(length + 17, NULL, 10) : 0;
	if (!length && *p != 'G')
		return -1;
	return end + 4 - p;
}

// take uses n bytes of input, which may be several requests or a part of one.
static int take(struct conn *c, size_t n)
{
	char *p = input;
	while (n > 0) {
		if (c->out_left > 0)
			return -1; // a request before the last answer has been taken
		if (!c->next) {
			long head = read_head(c, p, n);
			if (head < 0)
				return -1;
			if (head == 0) {
				memcpy(c->head, p, n);
				c->partial = n;
				return 0;
			}
			p += head;
			n -= (size_t)head;
		}
		size_t skip = n < c->skip ? n : c->skip;
		p += skip;
		n -= skip;
		c->skip -= skip;
		if (c->skip == 0 && send_answer(c))
			return -1;
	}
	return 0;
}

static int receive(struct conn *c)
{
	for (;;) {
		size_t before = c->partial;
		memcpy(input, c->head, before);
		ssize_t n = recv(c->fd, input + before, CHUNK, 0);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		c->partial = 0;
		if (take(c, before + (size_t)n))
			return -1;
		if (n < CHUNK)
			return 0; // a short read has emptied the socket: the next bytes are another event
	}
}

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e))
		die("epoll_ctl");
}

static void accept_all(struct conn *l)
{
	int fd, one = 1;
	while ((fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (l->tcp)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct conn *c = calloc(1, sizeof *c);
		if (!c)
			die("calloc");
		c->fd = fd;
		watch(c, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP);
	}
}

static void listen_on(const char *address)
{
	struct conn *l = calloc(1, sizeof *l);
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} a = {0};
	socklen_t length;
	int one = 1;
	if (!strncmp(address, "tcp:", 4)) {
		l->tcp = 1;
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons((uint16_t)atoi(address + 4));
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		length = sizeof a.in;
	} else if (!strncmp(address, "unix:", 5)) {
		a.un.sun_family = AF_UNIX;
		snprintf(a.un.sun_path, sizeof a.un.sun_path, "%s", address + 5);
		unlink(a.un.sun_path);
		length = sizeof a.un;
	} else {
		fputs(usage, stderr);
		exit(2);
	}
	l->listens = 1;
	l->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l->fd, &a.any, length) || listen(l->fd, 4096))
		die(address);
	if (!l->tcp)
		chmod(a.un.sun_path, 0777); // a proxy may run as somebody else
	watch(l, EPOLLIN);
}

static void handle(struct conn *c, uint32_t events)
{
	if (c->listens) {
		accept_all(c);
		return;
	}
	if ((events & EPOLLOUT && flush(c)) || (events & ~(uint32_t)EPOLLOUT && receive(c)))
		close_conn(c);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	poller = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 1; i < argc; i++)
		listen_on(argv[i]);
	static struct epoll_event events[512];
	for (;;) {
		int n = epoll_wait(poller, events, 512, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++)
			handle(events[i].data.ptr, events[i].events);
	}
}
