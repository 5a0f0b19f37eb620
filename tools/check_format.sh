#!/usr/bin/env bash
# Checks the C++ files that git tracks or would track; --fix rewrites them. One exact version of clang-format: versions
# differ in what they make of the same settings.
set -euo pipefail
cd "$(dirname "$0")/.."

formatter=clang-format-19
mode=(--dry-run --Werror)
if [[ "${1:-}" == --fix ]]; then
    mode=(-i)
fi
if ! command -v "$formatter" >/dev/null; then
    echo "$0: $formatter not found (tools/install-deps.sh --format)" >&2
    exit 1
fi

mapfile -d '' -t listed < <(git ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.hpp')
files=()
for file in "${listed[@]}"; do
    # A file deleted but not committed yet is still listed.
    if [[ -f "$file" ]]; then
        files+=("$file")
    fi
done
if [[ ${#files[@]} -eq 0 ]]; then
    echo "$0: no C++ files found" >&2
    exit 1
fi
"$formatter" "${mode[@]}" --style=file -- "${files[@]}"
if [[ "${1:-}" != --fix ]]; then
    echo "format: ${#files[@]} files are as $formatter wants them"
fi
