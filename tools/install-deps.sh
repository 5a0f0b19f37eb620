#!/usr/bin/env bash
# Installs the Debian 12 packages that building needs, as root or through sudo. Quick when nothing is missing: apt is
# then not run at all.
#
#   tools/install-deps.sh [--clang] [--format] [--bench] [--fuzz]
#
#   --clang   also the second compiler, for `make test-clang`
#   --format  also clang-format, for `make format`
#   --bench   also the load generator, for `make bench-http`
#   --fuzz    also Clang's fuzzing library, for `make fuzz`
set -euo pipefail

packages=(
    g++ make cmake ninja-build ccache mold python3
    libboost1.81-dev libboost-json1.81-dev libfmt-dev libspdlog-dev
    libgtest-dev
)
for argument in "$@"; do
    case "$argument" in
        --clang) packages+=(clang-19) ;;
        --format) packages+=(clang-format-19 git) ;;
        --bench) packages+=(wrk) ;;
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

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    if [[ "$status" != installed ]]; then
        missing+=("$package")
    fi
done
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "$0: missing packages, and neither root nor sudo to install them: ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q --yes --no-install-recommends "${missing[@]}"
