#!/bin/bash -p
# Stands first on a job's PATH under the names of the programs that submit or launch jobs: passes
# the call through unchanged and notes it. Never in the way: what cannot be noted is not noted.
# NBPIPE_CHILDREN is the folder of the notes. -p: without the caller's BASH_ENV.
here=$(cd -- "$(dirname -- "$0")" && pwd)
name=${0##*/}
path=:$PATH:
while [[ $path == *:"$here":* ]]; do path=${path/:"$here":/:}; done
real=$(PATH=${path:1:${#path}-2} type -P -- "$name")
if [ -z "$real" ]; then
  printf '%s: command not found\n' "$name" >&2
  exit 127
fi
notes=${NBPIPE_CHILDREN:-/nonexistent}
slurm=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}
if [ "$name" = srun ] && [ -n "$slurm" ]; then
  # A step of the allocation that it is called in. One line each: there may be thousands.
  { printf '%(%s)T\t%s\t%s\n' -1 "$slurm" "srun$(printf ' %q' "$@")" >>"$notes/steps"; } 2>/dev/null
  exec "$real" "$@"
fi
note=$(mktemp -d "$notes/XXXXXXXX.new" 2>/dev/null)
if [ -z "$note" ]; then exec "$real" "$@"; fi
{
  printf '%s\0' "$name" "$@" >"$note/arguments"
  printf 'time=%(%s)T\nslurm=%s\npbs=%s\nlsf=%s\ngridengine=%s\nroot=%s\n' \
    -1 "$slurm" "$PBS_JOBID" "$LSB_JOBID" "$JOB_ID" "$SGE_ROOT" >"$note/caller"
} 2>/dev/null
case $name in
  srun | salloc | qrsh)
    # They hold the terminal, get signals, and print what the launched program prints: nothing may
    # stand between. Their jobs are found by asking the scheduler.
    mv -- "$note" "${note%.new}" 2>/dev/null
    exec "$real" "$@"
    ;;
esac
"$real" "$@" | tee -- "$note/said"
code=${PIPESTATUS[0]}
printf '%s' "$code" 2>/dev/null >"$note/code"
mv -- "$note" "${note%.new}" 2>/dev/null
exit "$code"
