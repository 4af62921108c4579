// forward carries bytes between each client and a connection of its own to one
// server, and understands nothing: what no proxy in user space that reads and
// writes can go below. It neither balances, nor shares connections, nor retries.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char usage[] = "forward PORT SERVER-PORT [THREADS]\n";

enum { BUFFER = 128 << 10 };

// side is one of the two connections of a pair.
struct side {
	int fd;
	struct side *peer;
	int closed;
	char *unsent; // what the peer sent and this side did not take yet
	size_t offset, pending;
	struct side *next_dead;
};

static int listen_port, server_port;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in loopback(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

// close_pair leaves the memory to the end of the round: events may still name it.
static void close_pair(struct side *a, struct side **dead)
{
	if (a->closed)
		return;
	for (int i = 0; i < 2; i++, a = a->peer) {
		a->closed = 1;
		close(a->fd);
		a->next_dead = *dead;
		*dead = a;
	}
}

static void bury(struct side **dead)
{
	while (*dead) {
		struct side *a = *dead;
		*dead = a->next_dead;
		free(a->unsent);
		free(a);
	}
}

static void keep(struct side *to, const char *p, size_t n)
{
	if (!to->unsent && !(to->unsent = malloc(BUFFER)))
		die("malloc");
	memcpy(to->unsent, p, n);
	to->offset = 0;
	to->pending = n;
}

// pump carries what from has received to its peer.
static void pump(struct side *from, char *buffer, struct side **dead)
{
	struct side *to = from->peer;
	while (!from->closed && to->pending == 0) {
		ssize_t n = recv(from->fd, buffer, BUFFER, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_pair(from, dead);
			return;
		}
		ssize_t sent = send(to->fd, buffer, (size_t)n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN) {
			close_pair(from, dead);
			return;
		}
		if (sent < n) {
			size_t gone = sent > 0 ? (size_t)sent : 0;
			keep(to, buffer + gone, (size_t)n - gone);
		}
		if (n < BUFFER)
			return; // a short read has emptied the socket
	}
}

// drain sends what a side could not take earlier, and then goes on pumping.
static void drain(struct side *to, char *buffer, struct side **dead)
{
	if (to->closed || to->pending == 0)
		return;
	while (to->pending > 0) {
		ssize_t n = send(to->fd, to->unsent + to->offset, to->pending, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN)
				close_pair(to, dead);
			return;
		}
		to->offset += (size_t)n;
		to->pending -= (size_t)n;
	}
	pump(to->peer, buffer, dead);
}

static struct side *watch(int poller, int fd)
{
	struct side *s = calloc(1, sizeof *s);
	if (!s)
		die("calloc");
	s->fd = fd;
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	ioctl(fd, FIONBIO, &one);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = s};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
		die("epoll_ctl");
	return s;
}

static void accept_all(int poller, int listener)
{
	int client;
	while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct sockaddr_in a = loopback(server_port);
		int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(server, (struct sockaddr *)&a, sizeof a))
			die("connect");
		struct side *s = watch(poller, server), *c = watch(poller, client);
		s->peer = c;
		c->peer = s;
	}
}

static int open_listener(void)
{
	struct sockaddr_in a = loopback(listen_port);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096))
		die("listen");
	return fd;
}

_Noreturn static void *serve(void *unused)
{
	(void)unused;
	int poller = epoll_create1(EPOLL_CLOEXEC), listener = open_listener();
	struct epoll_event e = {.events = EPOLLIN}, events[512];
	if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e))
		die("epoll_ctl");
	char *buffer = malloc(BUFFER);
	struct side *dead = NULL;
	for (;;) {
		int n = epoll_wait(poller, events, 512, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct side *s = events[i].data.ptr;
			if (!s) {
				accept_all(poller, listener);
				continue;
			}
			if (events[i].events & EPOLLOUT)
				drain(s, buffer, &dead);
			if (events[i].events & ~(uint32_t)EPOLLOUT)
				pump(s, buffer, &dead);
		}
		bury(&dead);
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	listen_port = atoi(argv[1]);
	server_port = atoi(argv[2]);
	int threads = argc > 3 ? atoi(argv[3]) : 1;
	for (int i = 1; i < threads; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, serve, NULL))
			die("pthread_create");
	}
	serve(NULL);
}
