# Everything a developer does, one word each. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help deps run build test test-asan test-tsan test-clang fuzz format check-format check-layers bench \
    bench-peers bench-otp bench-http bench-router peak install clean

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
# ThreadSanitizer of GCC 12 cannot map its shadow where the kernel randomises more than 28 bits of addresses.
TSAN_RUN := $(shell test "$$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 && \
    setarch -R true 2>/dev/null && echo setarch -R)

# configure, then build one target of one preset
define build
	cmake --preset $(1)
	cmake --build --preset $(1) --parallel $(JOBS) --target $(2)
endef

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the packages that building needs, where missing (apt)
	@tools/install-deps.sh

run: deps ## build and start the showcase service (PORT, GENEVER_WORKERS, LIMIT, WINDOW_MS, MAX_RESTARTS)
	$(call build,dev,showcase)
	@exec build/dev/examples/showcase

build: deps ## build everything with GCC, warnings as errors
	$(call build,dev,all)

test: build ## build and run every test with GCC
	ctest --preset dev --parallel $(JOBS)

test-asan: deps ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(call build,asan,all)
	ctest --preset asan --parallel $(JOBS)

test-tsan: deps ## the tests under ThreadSanitizer
	cmake --preset tsan
	$(TSAN_RUN) cmake --build --preset tsan --parallel $(JOBS)
	$(TSAN_RUN) ctest --preset tsan --parallel $(JOBS)

test-clang: ## the tests, built with Clang 19
	@tools/install-deps.sh --clang
	$(call build,clang,all)
	ctest --preset clang --parallel $(JOBS)

FUZZ_SECONDS ?= 60
fuzz: ## run each fuzz target for FUZZ_SECONDS (60) with Clang
	@tools/install-deps.sh --clang --fuzz
	$(call build,fuzz,all)
	for f in http_request route_tree; do \
	    mkdir -p build/fuzz/corpus/$$f && \
	    build/fuzz/fuzz/$${f}_fuzz -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	        build/fuzz/corpus/$$f fuzz/corpus/$$f || exit 1; \
	done

format: ## reformat every C++ file (clang-format 19)
	@tools/install-deps.sh --format
	@tools/check_format.sh --fix

check-format: ## fail when a C++ file is not formatted
	@tools/install-deps.sh --format
	@tools/check_format.sh

check-layers: ## fail when a file includes what its room may not use
	@python3 tools/check_layers.py

# one worker runs on BENCH_CORE, two on BENCH_CORES
BENCH_CORE ?= 0
BENCH_CORES ?= 0,1
BENCH_FLAGS ?= --benchmark_min_time=0.5 --benchmark_out_format=json
bench: ## measure the runtime's primitives; JSON in build/bench
	@tools/install-deps.sh --bench
	$(call build,dev,bench_runtime ten_million lateness)
	@mkdir -p build/bench
	taskset -c $(BENCH_CORE) build/dev/bench/bench_runtime $(BENCH_FLAGS) \
	    --benchmark_filter=workers:1 --benchmark_out=build/bench/runtime-1-worker.json
	taskset -c $(BENCH_CORES) build/dev/bench/bench_runtime $(BENCH_FLAGS) \
	    --benchmark_filter=workers:2 --benchmark_out=build/bench/runtime-2-workers.json
	taskset -c $(BENCH_CORE) build/dev/bench/ten_million \
	    > build/bench/ten-million.json
	@cat build/bench/ten-million.json
	taskset -c $(BENCH_CORES) build/dev/bench/lateness > build/bench/lateness.json
	@cat build/bench/lateness.json

bench-peers: ## measure them beside Go, Erlang and CAF; writes docs/performance.md
	@tools/install-deps.sh --bench --bench-peers
	$(call build,dev,bench_runtime ten_million lateness)
	@python3 bench/runtime/run_peers.py --write

bench-otp: ## measure supervised crashes beside Erlang's; writes docs/performance.md
	@tools/install-deps.sh --bench --bench-peers
	$(call build,dev,crash_storm)
	@python3 bench/otp/run.py --write

bench-http: ## measure the showcase against a bare epoll server (needs wrk)
	@tools/install-deps.sh --bench
	$(call build,dev,showcase bare_epoll bare_io_uring)
	@python3 bench/http/run.py --showcase build/dev/examples/showcase --bare build/dev/bench/bare_epoll \
	    --io-uring build/dev/bench/bare_io_uring --write

bench-router: ## measure the router beside Gin's; writes docs/performance.md
	@tools/install-deps.sh --bench --bench-peers
	$(call build,dev,bench_router)
	@python3 bench/router/run.py --write

# more options: make peak PEAK='--quick', '--only overload,hogs', '--stacks genever,gin', '--soak', '--write'
PEAK ?=
peak: ## compare Genever with Gin, OTP and Phoenix, scenario by scenario; build/peak/report.html
	@tools/install-deps.sh --peak
	$(call build,dev,showcase bare_epoll)
	@python3 -B bench/peak/run.py $(PEAK)

install: build ## install the libraries and the CMake package under PREFIX
	cmake --install build/dev --prefix $(PREFIX)

clean: ## remove every build folder
	rm -rf build
