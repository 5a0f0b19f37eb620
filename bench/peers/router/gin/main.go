// The rows of bench/router/main.cpp with Gin.
//
//	peer ROUTES [SECONDS]
//
// lookup is the tree alone (node.getValue, as Engine.handleHTTPRequest calls it), the tree of the method chosen beforehand.
// dispatch is Engine.ServeHTTP with a writer that does nothing, as in Gin's own benchmark: the context from its pool, the
// method's tree, the lookup, and the call of a handler that does nothing.
//
// Prints one JSON object: nanoseconds for each pass over a row's paths, and how many blocks it took from the heap.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/gin-gonic/gin"
)

type line struct {
	method, pattern, path string
	root                  unsafe.Pointer
}

func check(holds bool, what string) {
	if !holds {
		panic("the benchmark is wrong: " + what)
	}
}

func readRoutes(file string) []line {
	text, err := os.ReadFile(file)
	check(err == nil, fmt.Sprint(err))
	var all []line
	for _, l := range strings.Split(string(text), "\n") {
		if l == "" || l[0] == '#' {
			continue
		}
		words := strings.Fields(l)
		check(len(words) == 3, l)
		all = append(all, line{method: words[0], pattern: words[1], path: words[2]})
	}
	return all
}

type quietWriter struct{}

func (quietWriter) Header() http.Header               { return http.Header{} }
func (quietWriter) Write(p []byte) (int, error)       { return len(p), nil }
func (quietWriter) WriteString(s string) (int, error) { return len(s), nil }
func (quietWriter) WriteHeader(int)                   {}

type program struct {
	lines   []line
	engine  *gin.Engine
	params  gin.Params
	skipped []skippedNode
	request *http.Request
	writer  http.ResponseWriter
	found   int
}

func newProgram(file string) *program {
	gin.SetMode(gin.ReleaseMode)
	p := &program{lines: readRoutes(file), engine: gin.New(), params: make(gin.Params, 0, 16),
		skipped: make([]skippedNode, 0, 16), writer: quietWriter{}}
	for _, l := range p.lines {
		p.engine.Handle(l.method, l.pattern, func(*gin.Context) {})
	}
	roots := treesOf(p.engine)
	for i := range p.lines {
		p.lines[i].root = roots[p.lines[i].method]
	}
	p.request, _ = http.NewRequest("GET", "/", nil)
	return p
}

// Each path leads to its own route, with its own values.
func (p *program) checkAll() {
	echo := gin.New()
	var seen string
	var values []string
	for _, l := range p.lines {
		echo.Handle(l.method, l.pattern, func(c *gin.Context) {
			seen = c.Request.Method + " " + c.FullPath()
			values = nil
			for _, v := range c.Params {
				values = append(values, v.Value)
			}
		})
	}
	for _, l := range p.lines {
		var expected []string
		pattern, path := strings.Split(l.pattern, "/"), strings.Split(l.path, "/")
		for i := range pattern {
			if strings.HasPrefix(pattern[i], ":") {
				expected = append(expected, path[i])
			}
		}
		p.params, p.skipped = p.params[:0], p.skipped[:0]
		v := getValue(l.root, l.path, &p.params, &p.skipped, false)
		check(v.handlers != nil && v.fullPath == l.pattern, "another route for "+l.path)
		check(v.params == nil && len(expected) == 0 || v.params != nil && len(*v.params) == len(expected), l.path)
		for i := range expected {
			check((*v.params)[i].Value == expected[i], l.path)
		}
		p.set(&l)
		echo.ServeHTTP(p.writer, p.request)
		check(seen == l.method+" "+l.pattern && strings.Join(values, " ") == strings.Join(expected, " "), l.path)
	}
}

func (p *program) set(l *line) {
	p.request.Method = l.method
	p.request.RequestURI = l.path
	p.request.URL.Path = l.path
	p.request.URL.RawQuery = ""
}

func (p *program) only(method, pattern string) []line {
	for _, l := range p.lines {
		if l.method == method && l.pattern == pattern {
			return []line{l}
		}
	}
	panic("no such route")
}

func (p *program) lookUp(which []line) {
	for i := range which {
		l := &which[i]
		p.params, p.skipped = p.params[:0], p.skipped[:0]
		if v := getValue(l.root, l.path, &p.params, &p.skipped, false); v.handlers != nil {
			p.found++
		}
	}
}

func (p *program) dispatch(which []line) {
	for i := range which {
		p.set(&which[i])
		p.engine.ServeHTTP(p.writer, p.request)
	}
}

type row struct {
	Ns          float64 `json:"ns"`
	Allocations float64 `json:"allocations"`
}

// The time of one pass, in nanoseconds: the best of five stretches.
func measure(seconds float64, pass func()) row {
	stretch := time.Duration(seconds / 5 * float64(time.Second))
	passes := 1
	for { // how many passes fill a stretch
		begin := time.Now()
		for i := 0; i < passes; i++ {
			pass()
		}
		if time.Since(begin) >= stretch {
			break
		}
		passes *= 2
	}
	best := 1e300
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := 0; i < 5; i++ {
		begin := time.Now()
		for n := 0; n < passes; n++ {
			pass()
		}
		best = min(best, float64(time.Since(begin).Nanoseconds())/float64(passes))
	}
	runtime.ReadMemStats(&after)
	return row{best, float64(after.Mallocs-before.Mallocs) / float64(5*passes)}
}

func main() {
	check(len(os.Args) >= 2, "usage: peer ROUTES [SECONDS]")
	seconds := 1.0
	if len(os.Args) > 2 {
		seconds, _ = strconv.ParseFloat(os.Args[2], 64)
	}
	p := newProgram(os.Args[1])
	p.checkAll()
	fixed := p.only("GET", "/user/repos")
	withOne := p.only("GET", "/users/:user/repos")
	withThree := p.only("GET", "/repos/:owner/:repo/issues/:number/comments")
	version := runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/gin-gonic/gin" {
				version = "Gin " + d.Version + ", " + version
			}
		}
	}
	out := map[string]any{"routes": len(p.lines), "version": version}
	for name, which := range map[string][]line{"all": p.lines, "static": fixed, "1_param": withOne,
		"3_params": withThree} {
		out["lookup_"+name] = measure(seconds, func() { p.lookUp(which) })
		out["dispatch_"+name] = measure(seconds, func() { p.dispatch(which) })
	}
	text, _ := json.Marshal(out)
	fmt.Println(string(text))
}
