package main

import (
	"context"
	"log"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

// limiter counts requests by address in a window of time. A goroutine owns the counts; it can be made to panic, and is
// then started again with none.
type limiter struct {
	limit  int
	window time.Duration
	asked  chan question
	killed chan struct{}
}

type question struct {
	address string
	answer  chan decision
}

type decision struct {
	allowed    bool
	remaining  int
	untilReset time.Duration
}

func startLimiter(limit int, window time.Duration) *limiter {
	l := &limiter{limit, window, make(chan question), make(chan struct{})}
	go l.supervise()
	return l
}

func (l *limiter) supervise() {
	for {
		l.runOnce()
	}
}

func (l *limiter) runOnce() {
	defer func() {
		if reason := recover(); reason != nil {
			log.Printf("the limiter panics: %v\n%s", reason, debug.Stack())
		}
	}()
	l.run()
}

func (l *limiter) run() {
	counts := map[string]int{}
	windowEnd := time.Now().Add(l.window)
	reset := time.NewTicker(l.window)
	defer reset.Stop()
	for {
		select {
		case q := <-l.asked:
			allowed := counts[q.address] < l.limit
			if allowed {
				counts[q.address]++
			}
			q.answer <- decision{allowed, l.limit - counts[q.address], time.Until(windowEnd)}
		case <-reset.C:
			clear(counts)
			windowEnd = time.Now().Add(l.window)
		case <-l.killed:
			panic("killed")
		}
	}
}

func (l *limiter) kill() { l.killed <- struct{}{} }

// acquire asks for a request to be counted. It fails when the context ends first, or after 5 seconds.
func (l *limiter) acquire(ctx context.Context, address string) (decision, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q := question{address, make(chan decision, 1)}
	select {
	case l.asked <- q:
	case <-ctx.Done():
		return decision{}, ctx.Err()
	}
	select {
	case d := <-q.answer:
		return d, nil
	case <-ctx.Done():
		return decision{}, ctx.Err()
	}
}

func (l *limiter) handle(c *gin.Context) {
	d, err := l.acquire(c.Request.Context(), c.ClientIP())
	if err != nil {
		c.JSON(http.StatusInternalServerError, gin.H{"error": err.Error()})
		return
	}
	seconds := strconv.Itoa(int((max(d.untilReset, time.Nanosecond) + time.Second - 1) / time.Second))
	c.Header("X-RateLimit-Limit", strconv.Itoa(l.limit))
	c.Header("X-RateLimit-Remaining", strconv.Itoa(d.remaining))
	c.Header("X-RateLimit-Reset", seconds)
	if d.allowed {
		c.JSON(http.StatusOK, gin.H{"message": "within the limit"})
		return
	}
	c.Header("Retry-After", seconds)
	c.JSON(http.StatusTooManyRequests, gin.H{"error": "too many requests"})
}
