package balance

import (
	"math"
	"time"
)

const (
	answerSmoothing = 8     // a slower answer counts for one eighth
	answerRelief    = 2     // a faster one for a half: the first ones of a new worker are slow
	forgetAfter     = 10000 // ms without an answer after which the past is forgotten
)

// answerTime packs an exponentially weighted mean of answer times, which falls
// faster than it rises, and the time of the last one in one word, so that both
// change together: microseconds in the upper half, milliseconds of the clock,
// modulo 2^32 (49 days), in the lower. 0: nothing was answered yet.
type answerTime uint64

func (a answerTime) micros() uint32 { return uint32(a >> 32) }

// age is the time since the last answer in ms; 0 if the clock was set back.
func (a answerTime) age(now int64) uint32 {
	return uint32(max(int32(millis(now)-uint32(a)), 0))
}

func (a answerTime) add(now int64, took time.Duration) answerTime {
	sample := min(max(took.Microseconds(), 1), math.MaxUint32)
	mean := int64(a.micros())
	switch {
	case mean == 0 || a.age(now) > forgetAfter:
		mean = sample
	case sample < mean:
		mean += (sample - mean) / answerRelief
	default:
		mean += (sample - mean) / answerSmoothing
	}
	return answerTime(uint64(max(mean, 1))<<32 | uint64(millis(now)))
}

func millis(now int64) uint32 { return uint32(now / int64(time.Millisecond)) }
