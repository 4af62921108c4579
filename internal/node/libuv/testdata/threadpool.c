// A program with the parts of libuv that are read, under libuv's names: what a
// test reads from outside is known here. It prints its monotonic clock and sleeps.
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

struct list { struct list *next, *prev; };

struct loop {
  void *data;
  unsigned active_handles;
  struct list handles;
  unsigned long active_reqs;
  void *internal_fields;
  char between[0x220 - 0x30 - 0x10];
  unsigned timers;
  uint64_t timer_counter;
  uint64_t time;
  char after[0x130];
};

static struct loop default_loop_struct;
static struct { uint64_t flags, loops, events, rest[14], entry, idle; } fields;
static struct list wq, tasks[3];
static unsigned nthreads, idle_threads;

__attribute__((noinline)) unsigned uv_version(void) { return 0x013401; }
__attribute__((noinline)) uint64_t uv_now(struct loop *l) { return l->time; }

int main(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  uint64_t ns = now.tv_sec * 1000000000ull + now.tv_nsec;
  default_loop_struct.active_handles = 11;
  default_loop_struct.active_reqs = 12;
  default_loop_struct.timers = 13;
  default_loop_struct.internal_fields = &fields;
  default_loop_struct.time = ns / 1000000;
  fields.loops = 14;
  fields.events = 15;
  fields.idle = 16000000;
  nthreads = 4;
  idle_threads = 1;
  struct list *last = &wq;
  for (int i = 0; i < 3; i++) {
    last->next = &tasks[i];
    tasks[i].prev = last;
    last = &tasks[i];
  }
  last->next = &wq;
  wq.prev = last;
  printf("%u %llu\n", uv_version(), (unsigned long long)uv_now(&default_loop_struct));
  fflush(stdout);
  sleep(600);
  return (int)idle_threads + (int)nthreads;
}
