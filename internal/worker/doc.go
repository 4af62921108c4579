// Package worker is the life of one worker as a pure state machine: a fact and
// the time go in, the effects to carry out come out. It holds no lock, starts
// no goroutine and never reads the clock.
//
// This is all of [Machine.Step], printed by its test from the machine itself, for a
// worker with a health check of one failure whose unhealthy runs are replaced
// (go test ./internal/worker -run Table -update writes it anew). A fact that a state
// does not list changes nothing. Facts about a run that is over are ignored.
//
//	STATE                       FACT                         NEXT                  EFFECTS
//	pending                     Start                        starting              launch
//	pending                     Drain                        pending               done
//	pending                     ForceStop                    pending               done
//	starting                    Listening                    starting              check
//	starting                    Reported, unhealthy          unhealthy             replace
//	starting                    LoopSilent                   unhealthy             replace
//	starting                    Drain                        stopping              terminate
//	starting                    Unusable                     stopping              terminate
//	starting                    ForceStop                    stopping              kill
//	starting                    Wake, due                    starting              check
//	starting                    Exited, crash                backoff
//	starting                    Exited, by a request         backoff
//	starting                    Exited, killed from outside  backoff
//	starting, was ready before  Listening                    starting              check
//	starting, was ready before  Reported, unhealthy          unhealthy             replace
//	starting, was ready before  LoopSilent                   unhealthy             replace
//	starting, was ready before  Drain                        stopping              terminate
//	starting, was ready before  Unusable                     stopping              terminate
//	starting, was ready before  ForceStop                    stopping              kill
//	starting, was ready before  Wake, due                    starting              check
//	starting, was ready before  Exited, crash                backoff
//	starting, was ready before  Exited, by a request         backoff
//	starting, was ready before  Exited, killed from outside  backoff, for no time
//	ready                       Checked, failed              unhealthy             unpublish replace
//	ready                       Reported, unhealthy          unhealthy             unpublish replace
//	ready                       LoopSilent                   unhealthy             unpublish replace
//	ready                       Drain                        draining              unpublish
//	ready                       Unusable                     stopping              unpublish terminate
//	ready                       ForceStop                    stopping              unpublish kill
//	ready                       Wake, due                    ready                 check
//	ready                       Exited, crash                backoff               unpublish
//	ready                       Exited, by a request         backoff, for no time  unpublish
//	ready                       Exited, killed from outside  backoff, for no time  unpublish
//	unhealthy                   Checked, passed              ready                 publish
//	unhealthy                   Drain                        draining              unpublish
//	unhealthy                   Unusable                     stopping              terminate
//	unhealthy                   ForceStop                    stopping              kill
//	unhealthy                   Wake, due                    unhealthy             check
//	unhealthy                   Exited, crash                backoff
//	unhealthy                   Exited, by a request         backoff, for no time
//	unhealthy                   Exited, killed from outside  backoff, for no time
//	unhealthy, loop silent      LoopAlive                    ready                 publish
//	unhealthy, loop silent      Drain                        stopping              kill
//	unhealthy, loop silent      Unusable                     stopping              kill
//	unhealthy, loop silent      ForceStop                    stopping              kill
//	unhealthy, loop silent      Wake, due                    unhealthy             check
//	unhealthy, loop silent      Exited, crash                backoff
//	unhealthy, loop silent      Exited, by a request         backoff, for no time
//	unhealthy, loop silent      Exited, killed from outside  backoff, for no time
//	unhealthy, waited for       Reported, healthy            ready                 publish
//	unhealthy, waited for       LoopSilent                   unhealthy             replace
//	unhealthy, waited for       Drain                        draining              unpublish
//	unhealthy, waited for       Unusable                     stopping              terminate
//	unhealthy, waited for       ForceStop                    stopping              kill
//	unhealthy, waited for       Wake, due                    unhealthy             replace check
//	unhealthy, waited for       Exited, crash                backoff
//	unhealthy, waited for       Exited, by a request         backoff, for no time
//	unhealthy, waited for       Exited, killed from outside  backoff, for no time
//	draining                    LoopSilent                   stopping              kill
//	draining                    Idle                         stopping              terminate
//	draining                    ForceStop                    stopping              kill
//	draining                    Wake, due                    stopping              terminate
//	draining                    Exited, crash                pending               done
//	draining                    Exited, by a request         pending               done
//	draining                    Exited, killed from outside  pending               done
//	stopping                    ForceStop                    stopping              kill
//	stopping                    Wake, due                    stopping              kill
//	stopping                    Exited, crash                pending               done
//	stopping                    Exited, by a request         pending               done
//	stopping                    Exited, killed from outside  pending               done
//	backoff                     Start                        starting              launch
//	backoff                     Drain                        pending               done
//	backoff                     ForceStop                    pending               done
//	backoff                     Wake, due                    starting              launch
//	backoff, was ready          Start                        starting              launch
//	backoff, was ready          Drain                        pending               done
//	backoff, was ready          ForceStop                    pending               done
//	backoff, was ready          Needed                       starting              launch
//	backoff, was ready          Wake, due                    starting              launch
//	failed                      Start                        starting              launch
//	failed                      Drain                        pending               done
//	failed                      ForceStop                    pending               done
//	failed                      Wake, due                    starting              launch
//	failed, was ready           Start                        starting              launch
//	failed, was ready           Drain                        pending               done
//	failed, was ready           ForceStop                    pending               done
//	failed, was ready           Needed                       starting              launch
//	failed, was ready           Wake, due                    starting              launch
package worker
