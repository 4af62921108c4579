// Package retry holds the rules of a request's tries: which endpoint it asks, how long
// it waits for one, in line or held, whether it is asked again after an attempt without
// an answer, what that costs, and what is remembered of requests that end workers. It
// decides and does nothing: who carries a request, on an event loop or a goroutine,
// tells its [Try] what came of an attempt and does what is decided.
//
// These tables are printed by the package's test from the rules themselves (go test
// ./internal/proxy/retry -run Tables -update writes them anew). What [Try.Failed] decides
// after an attempt without an answer:
//
//	REQUEST                            ATTEMPT                          NEXT
//	GET                                not begun                        look for another worker
//	GET                                not begun, on a used connection  ask the same worker over a new connection
//	GET                                closed                           look for another worker
//	GET                                closed, on a used connection     ask the same worker over a new connection
//	GET                                died                             look for another worker
//	GET                                late                             refuse: 504
//	GET                                malformed                        refuse: 502
//	GET, closed on once before         not begun                        look for another worker
//	GET, closed on once before         not begun, on a used connection  ask the same worker over a new connection
//	GET, closed on once before         closed                           refuse: 502
//	GET, closed on once before         closed, on a used connection     refuse: 502
//	GET, closed on once before         died                             look for another worker
//	GET, closed on once before         late                             refuse: 504
//	GET, closed on once before         malformed                        refuse: 502
//	GET, a worker has died with it     not begun                        look for another worker
//	GET, a worker has died with it     not begun, on a used connection  ask the same worker over a new connection
//	GET, a worker has died with it     closed                           refuse: 502
//	GET, a worker has died with it     closed, on a used connection     refuse: 502
//	GET, a worker has died with it     died                             refuse: 502
//	GET, a worker has died with it     late                             refuse: 504
//	GET, a worker has died with it     malformed                        refuse: 502
//	GET, two have with others like it  not begun                        look for another worker
//	GET, two have with others like it  not begun, on a used connection  ask the same worker over a new connection
//	GET, two have with others like it  closed                           refuse: 502
//	GET, two have with others like it  closed, on a used connection     refuse: 502
//	GET, two have with others like it  died                             refuse: 502
//	GET, two have with others like it  late                             refuse: 504
//	GET, two have with others like it  malformed                        refuse: 502
//	GET, begun by as many as may       not begun                        look for another worker
//	GET, begun by as many as may       not begun, on a used connection  ask the same worker over a new connection
//	GET, begun by as many as may       closed                           refuse: 502
//	GET, begun by as many as may       closed, on a used connection     refuse: 502
//	GET, begun by as many as may       died                             refuse: 502
//	GET, begun by as many as may       late                             refuse: 504
//	GET, begun by as many as may       malformed                        refuse: 502
//	POST                               not begun                        look for another worker
//	POST                               not begun, on a used connection  ask the same worker over a new connection
//	POST                               closed                           refuse: 502
//	POST                               closed, on a used connection     refuse: 502
//	POST                               died                             refuse: 502
//	POST                               late                             refuse: 504
//	POST                               malformed                        refuse: 502
//	upgrade                            not begun                        look for another worker
//	upgrade                            not begun, on a used connection  ask the same worker over a new connection
//	upgrade                            closed                           refuse: 502
//	upgrade                            closed, on a used connection     refuse: 502
//	upgrade                            died                             look for another worker
//	upgrade                            late                             refuse: 504
//	upgrade                            malformed                        refuse: 502
//	any, its beginning forgotten       not begun                        refuse: 503 with Retry-After
//	any, its beginning forgotten       not begun, on a used connection  refuse: 503 with Retry-After
//	any, its beginning forgotten       closed                           refuse: 502
//	any, its beginning forgotten       closed, on a used connection     refuse: 502
//	any, its beginning forgotten       died                             refuse: 502
//	any, its beginning forgotten       late                             refuse: 504
//	any, its beginning forgotten       malformed                        refuse: 502
//	any, after timeouts.retry          not begun                        refuse: 503 with Retry-After
//	any, after timeouts.retry          not begun, on a used connection  refuse: 503 with Retry-After
//	any, after timeouts.retry          closed                           refuse: 502
//	any, after timeouts.retry          closed, on a used connection     refuse: 502
//	any, after timeouts.retry          died                             refuse: 502
//	any, after timeouts.retry          late                             refuse: 504
//	any, after timeouts.retry          malformed                        refuse: 502
//
// What [Try.Next] decides:
//
//	WHEN                                            NEXT
//	a worker is free                                ask it
//	no worker is ready                              wait for news, and look again
//	the same, after the hold                        refuse: 503 with Retry-After
//	the same, after a worker may have begun it      refuse: 502
//	all workers are full                            stand in line
//	and the line, too                               refuse: 503 with Retry-After
//	each worker has failed it                       wait for news, and look again
//	the retry budget is spent                       wait for news, and look again
//	others like it kill, and two workers are there  ask it
//	others like it kill, and one worker is there    wait for news, and look again
//	the same, 3 s later                             ask it
//	the same, and one like it has just killed       refuse: 502
package retry
