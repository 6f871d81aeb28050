#!/bin/bash
# Stands first on a job's PATH under the names sbatch, qsub, bsub and condor_submit: passes the
# call through unchanged and notes what the real program said. Never in the way: what cannot be
# noted is not noted. NBPIPE_CHILDREN is the folder of the notes, one for each call.
here=$(cd -- "$(dirname -- "$0")" && pwd)
name=${0##*/}
path=:$PATH:
while [[ $path == *:"$here":* ]]; do path=${path/:"$here":/:}; done
real=$(PATH=${path:1:${#path}-2} type -P -- "$name")
if [ -z "$real" ]; then
  printf '%s: command not found\n' "$name" >&2
  exit 127
fi
note=$(mktemp -d "${NBPIPE_CHILDREN:-/nonexistent}/XXXXXXXX.new" 2>/dev/null)
if [ -z "$note" ]; then exec "$real" "$@"; fi
printf '%s\0' "$name" "$@" >"$note/arguments" 2>/dev/null
printf '%s' "${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-${PBS_JOBID:-${LSB_JOBID:-$JOB_ID}}}}" >"$note/parent" 2>/dev/null
"$real" "$@" | tee -- "$note/said"
code=${PIPESTATUS[0]}
printf '%s' "$code" >"$note/code" 2>/dev/null
mv -- "$note" "${note%.new}" 2>/dev/null
exit "$code"
