package main

import (
	"net/http"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

func routes(limiter *limiter) http.Handler {
	app := gin.New()
	app.Use(gin.Recovery())
	app.GET("/ping", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"message": "pong"}) })
	app.GET("/health", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "up"}) })
	app.GET("/plaintext", func(c *gin.Context) { c.Data(http.StatusOK, "text/plain", []byte("Hello, World!")) })
	app.GET("/users/:id/posts/:pid", func(c *gin.Context) {
		c.JSON(http.StatusOK, gin.H{"id": c.Param("id"), "pid": c.Param("pid")})
	})
	app.POST("/orders", takeOrder)
	app.GET("/work", work)
	app.GET("/wait", wait)
	app.GET("/pool", pool)
	app.GET("/hog", hog)
	app.GET("/panic", func(*gin.Context) { panic("the handler panics") })
	// What Recovery cannot catch: the panic of a goroutine that a handler has started ends the program.
	app.GET("/panic/goroutine", func(c *gin.Context) {
		go func() { panic("the goroutine panics") }()
		c.JSON(http.StatusOK, gin.H{"message": "started"})
	})
	app.GET("/limited", limiter.handle)
	app.POST("/limited/kill", func(c *gin.Context) {
		limiter.kill()
		c.Status(http.StatusNoContent)
	})
	return app
}

type customer struct {
	Name    string `json:"name" binding:"required"`
	Email   string `json:"email" binding:"required"`
	Street  string `json:"street" binding:"required"`
	City    string `json:"city" binding:"required"`
	Country string `json:"country" binding:"required"`
}

type orderLine struct {
	SKU      string `json:"sku" binding:"required"`
	Title    string `json:"title" binding:"required"`
	Quantity int64  `json:"quantity"`
	Cents    int64  `json:"cents"`
}

type order struct {
	ID       string      `json:"id" binding:"required"`
	Customer customer    `json:"customer" binding:"required"`
	Lines    []orderLine `json:"lines" binding:"required,dive"`
	Notes    string      `json:"notes"`
	Express  bool        `json:"express"`
}

func takeOrder(c *gin.Context) {
	var taken order
	if err := c.ShouldBindJSON(&taken); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
		return
	}
	c.JSON(http.StatusOK, taken)
}

func cpu() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// burn uses the CPU. The goroutine stays on its thread meanwhile, since it is the thread's CPU time that is read.
func burn(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for end := cpu() + d; cpu() < end; {
		compute(2_000) // about a microsecond
	}
}

var computed uint64

func compute(steps int) {
	x := uint64(steps)
	for range steps {
		x = x*6364136223846793005 + 1442695040888963407
	}
	computed = x
}

// asked is a query parameter from 0 to most. Without a valid one the request is answered with 400.
func asked(c *gin.Context, name string, most int) (int, bool) {
	n, err := strconv.Atoi(c.Query(name))
	if err != nil || n < 0 || n > most {
		c.JSON(http.StatusBadRequest, gin.H{"error": name + " must be from 0 to " + strconv.Itoa(most)})
		return 0, false
	}
	return n, true
}

func work(c *gin.Context) {
	us, ok := asked(c, "us", 10_000_000)
	if !ok {
		return
	}
	burn(time.Duration(us) * time.Microsecond)
	c.JSON(http.StatusOK, gin.H{"us": us})
}

func wait(c *gin.Context) {
	ms, ok := asked(c, "ms", 60_000)
	if !ok {
		return
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		c.JSON(http.StatusOK, gin.H{"ms": ms})
	case <-c.Request.Context().Done():
	}
}

// What 8 database connections would be: a query takes 20 ms, and who finds none free waits in line.
var connections = semaphore.NewWeighted(8)

func pool(c *gin.Context) {
	if connections.Acquire(c.Request.Context(), 1) != nil {
		return // the client has gone
	}
	defer connections.Release(1)
	time.Sleep(20 * time.Millisecond)
	c.JSON(http.StatusOK, gin.H{"message": "served"})
}

// hog computes, or blocks in a system call.
func hog(c *gin.Context) {
	ms, ok := asked(c, "ms", 60_000)
	if !ok {
		return
	}
	length := time.Duration(ms) * time.Millisecond
	how := c.DefaultQuery("how", "burn")
	switch how {
	case "burn":
		burn(length)
	case "block":
		block(length)
	default:
		c.JSON(http.StatusBadRequest, gin.H{"error": "how must be burn or block"})
		return
	}
	c.JSON(http.StatusOK, struct {
		MS  int    `json:"ms"`
		How string `json:"how"`
	}{ms, how})
}

func block(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}
