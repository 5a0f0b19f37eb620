// The peer on Gin: the routes of the showcase, as a Gin user would write them. Release mode, the Recovery middleware, an
// http.Server with the time limits that its documentation asks for, and a graceful shutdown.
//
// Usage: PORT=4002 LIMIT=100 GOMAXPROCS=1 gin
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)

	limiter := startLimiter(number("LIMIT", 100), time.Duration(number("WINDOW_MS", 60_000))*time.Millisecond)
	server := &http.Server{
		Addr:              ":" + strconv.Itoa(number("PORT", 4002)),
		Handler:           routes(limiter),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       60 * time.Second,
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()

	drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		log.Fatal(err)
	}
}

// number is what an environment variable says.
func number(variable string, fallback int) int {
	text, set := os.LookupEnv(variable)
	if !set {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		log.Fatalf("%s=%s: it must be a whole number", variable, text)
	}
	return n
}
