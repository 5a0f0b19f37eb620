#!/usr/bin/env bash
# Installs the Debian 12 packages that building needs, as root or through sudo. Quick when nothing is missing: apt is
# then not run at all.
#
#   tools/install-deps.sh [--clang] [--format] [--bench] [--bench-peers] [--peak] [--fuzz]
#
#   --clang   also the second compiler, for `make test-clang`
#   --format  also clang-format, for `make format`
#   --bench   also Google Benchmark and the load generator, for `make bench` and `make bench-http`
#   --bench-peers  also Go (unless there is one), Erlang and CAF, for `make bench-peers`; one that cannot be had is
#             said and left out
#   --peak    also the load generators and, where they can be had, the peers of `make peak`: Go, Erlang with its JSON
#             library (Gin needs a newer Go, and Phoenix a newer Elixir, than Debian 12 has: they are looked for, not installed)
#   --fuzz    also Clang's fuzzing library, for `make fuzz`
set -euo pipefail

packages=(
    g++ make cmake ninja-build ccache mold python3
    libboost1.81-dev libboost-json1.81-dev libfmt-dev libspdlog-dev
    libgtest-dev
)
optional=()
for argument in "$@"; do
    case "$argument" in
        --clang) packages+=(clang-19) ;;
        --format) packages+=(clang-format-19 git) ;;
        --bench) packages+=(libbenchmark-dev liburing-dev wrk) ;;
        --bench-peers)
            optional+=(erlang-base libcaf-dev)
            command -v go >/dev/null || optional+=(golang-go)
            ;;
        --peak)
            packages+=(wrk)
            optional+=(erlang-base erlang-jiffy)
            command -v go >/dev/null || optional+=(golang-go)
            ;;
        --fuzz) packages+=(libclang-rt-19-dev) ;;
        *)
            echo "$0: unknown argument '$argument'" >&2
            exit 2
            ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "$0: not a Debian system; install by hand the counterparts of: ${packages[*]}" >&2
    exit 0
fi

is_missing() {
    local status
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null || true)
    [[ "$status" != installed ]]
}

missing=()
for package in "${packages[@]}"; do
    if is_missing "$package"; then
        missing+=("$package")
    fi
done
wanted=()
for package in "${optional[@]}"; do
    if is_missing "$package"; then
        wanted+=("$package")
    fi
done
if [[ ${#missing[@]} -eq 0 && ${#wanted[@]} -eq 0 ]]; then
    exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "$0: missing packages, and neither root nor sudo to install them: ${missing[*]} ${wanted[*]}" >&2
        [[ ${#missing[@]} -eq 0 ]]
        exit
    fi
    as_root=(sudo)
fi

install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q --yes --no-install-recommends "$@"
}

echo "installing: ${missing[*]} ${wanted[*]}"
"${as_root[@]}" apt-get update -q
if [[ ${#missing[@]} -gt 0 ]]; then
    install "${missing[@]}"
fi
for package in "${wanted[@]}"; do
    install "$package" || echo "$0: $package cannot be installed: what needs it is left out" >&2
done
